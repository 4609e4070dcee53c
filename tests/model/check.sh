#!/bin/bash
# Proves the model's properties in each scenario, and shows for each safeguard what breaks without.
#
#   check.sh              all of it
#   check.sh --larger     larger scenarios only: minutes
#   check.sh MUTANT       the steps that lead a mutant into its error
. "$(dirname "$0")/../lib.sh"

HERE=$(cd "$(dirname "$0")" && pwd)

# What is proved: the names that lanes.pml gives it, or `delivery`, its temporal formula.
PROPERTIES=(in_order fin_last bounded fits delivery)
declare -A MEANING=(
	[in_order]="no byte is lost, doubled or overtaken"
	[fin_last]="no FIN comes before the last byte"
	[bounded]="no redirect makes a direction hold more than its window"
	[fits]="no redirect has to wait for the reader"
	[delivery]="every byte and the FIN arrive: no lost wake-up, no deadlock, no livelock"
)

# The names of SCENARIOS and LARGER, with their sizes (lanes.pml explains them).
tight="-DSNDBUF=1 -DRCVBUF=1 -DWINDOW=1"
both="-DDIRS=2 -DSEND_FIRST $tight"
SCENARIOS=(
	"early  -DUP=4 -DSWITCHES=2"
	"moves  -DUP=3 -DSWITCHES=3"
	"late   -DUP=4 -DSWITCHES=2 -DLATE -DSEG=2"
	"bytes  -DUP=4 -DSWITCHES=1 -DLATE $tight"
	"both   -DUP=2 -DDOWN=2 -DSWITCHES=0 -DANY_LANE $both"
	"paired -DUP=2 -DDOWN=2 -DSWITCHES=1 $both"
)
LARGER=(
	"early  -DUP=6 -DSWITCHES=2"
	"moves  -DUP=4 -DSWITCHES=4"
	"late   -DUP=6 -DSWITCHES=2 -DLATE -DSEG=2"
	"bytes  -DUP=4 -DSWITCHES=2 -DLATE"
	"both   -DUP=4 -DDOWN=4 -DSWITCHES=0 -DANY_LANE $both"
	"paired -DUP=2 -DDOWN=2 -DSWITCHES=1 -DANY_LANE $both"
)
declare -A SAYS=(
	[early]="enrolled before the first byte"
	[moves]="enrolled before the first byte, more lane changes"
	[late]="enrolled with bytes under way, two to a segment"
	[bytes]="enrolled with bytes under way, one to a segment"
	[both]="both directions, each in any lane; the client sends all before it reads"
	[paired]="both directions, paired under way; the client sends all before it reads"
)

# NAME|PROPERTY THAT BREAKS|SIZES|WHAT IS MISSING
early="-DUP=4 -DSWITCHES=1"
moves="-DUP=3 -DSWITCHES=3"
late="-DUP=4 -DSWITCHES=1 -DLATE -DSEG=2"
bytes="-DUP=3 -DSWITCHES=1 -DLATE $tight"
two="-DUP=2 -DDOWN=2 -DSWITCHES=0 -DANY_LANE $both"
MUTANTS=(
	"LEDGER|in_order|$early|the verdict compares passed and relayed"
	"WINDOW|bounded|$moves|the verdict compares what is held with the window"
	"QUEUED|delivery|$two|what is held includes the destination's send buffer"
	"WRITTEN_BEFORE_QUEUED|bounded|$moves|the verdict reads write_seq, then sk_wmem_queued"
	"LOOK_AFTER_PASS|bounded|$moves|the verdict looks at the destination anew after a relay"
	"DROP_BUT_PASS|delivery|$two|the empty skb of a bare FIN is not passed"
	"DROP_BUT_REDIRECT|delivery|$two|the empty skb of a bare FIN is not redirected"
	"DRAINED_BEFORE_SEND|in_order|$early|proxyd waits for the backlog before it sends"
	"SEND_BEFORE_PUBLISH|in_order|$early|proxyd sends, then publishes"
	"RECV_AFTER_PUBLISH|delivery|$moves|proxyd reads once more after it has published"
	"LOCK_BEFORE_COMPARE|delivery|$moves|that read, hence the lock, comes before the comparison"
	"COMPARE_BEFORE_SLEEP|delivery|$moves|proxyd compares the counts before it sleeps"
	"RECV_AFTER_SWITCH|delivery|$moves|proxyd reads once more after a switch to the kernel lane"
	"READ_TO_END|fin_last|$early|proxyd reads on after RDHUP, until recv returns 0"
	"COMPLETE_CHECK|fin_last|$early|proxyd counts the source's bytes before the FIN"
	"DRAINED_BEFORE_FIN|fin_last|$moves|proxyd waits for the backlog before the FIN"
	"DESTINATION_FIRST|delivery|$late|both sockets are in the map before one may redirect"
	"UNREAD_CHECK|in_order|$late|nothing is unread, hence partly read, at enrolment"
	"HOLDS_CHECK|delivery|$bytes|proxyd holds nothing at enrolment"
)

# ---- running searches ----

CORES=$(nproc)
running=()

finish_first() {
	wait "${running[0]}" || fail "spin, the compiler or the search itself failed"
	forget "${running[0]}"
	running=("${running[@]:1}")
}

explore() { # NAME MACRO...
	((${#running[@]} < CORES)) || finish_first
	spawn "$1" "$HERE/explore.sh" "$TMP/$1" "${@:2}"
	running+=("$SPAWNED_PID")
}

finish_all() {
	while ((${#running[@]})); do
		finish_first
	done
}

# Prints the property that a search found broken, or nothing; fails if it did not see every state.
broken() { # NAME
	local report=$TMP/$1/report
	grep -q 'errors: ' "$report" || fail "$1: the search did not end: $(tail -n 1 "$report")"
	if grep -q 'errors: 0$' "$report"; then
		! grep -qE 'Search not completed|depth too small|out of memory' "$report" ||
			fail "$1: the search was not exhaustive"
	elif grep -q 'acceptance cycle (' "$report"; then
		echo delivery
	else
		grep -oP 'assertion violated \K[a-z_]+' "$report" || echo something
	fi
}

states() { # NAME
	awk '/states, stored/ { printf "%.0f", $1 }' "$TMP/$1/report"
}

# ---- what is reported ----

report_scenario() { # NAME
	local found property verdict
	found=$(broken "$1")
	printf '%s: %s (%s states)\n' "$1" "${SAYS[$1]}" "$(states "$1")"
	for property in "${PROPERTIES[@]}"; do
		verdict=PASS
		[[ -z $found ]] || verdict='not decided'
		[[ $found != "$property" ]] || verdict=FAIL
		printf '  %-4s %-8s %s\n' "$verdict" "$property" "${MEANING[$property]}"
	done
	[[ -z $found ]]
}

report_mutant() { # NAME PROPERTY WHAT
	local found
	found=$(broken "$1")
	if [[ $found == "$2" ]]; then
		printf '  PASS without "%s": %s breaks\n' "$3" "$found"
	else
		printf '  FAIL without "%s": %s, not %s breaks\n' "$3" "${found:-nothing}" "$2"
		return 1
	fi
}

prove() { # SCENARIO...
	local scenario macros failures=0
	export OPTIMIZE=-O1 # these searches are longer than their compilation
	for scenario; do
		read -ra macros <<<"$scenario"
		explore "${macros[@]}"
	done
	finish_all
	for scenario; do
		report_scenario "${scenario%% *}" || failures=$((failures + 1))
	done
	((failures == 0)) || fail "$failures scenarios"
}

catch_mutants() {
	local mutant name property sizes what macros failures=0
	export OPTIMIZE=-O0
	for mutant in "${MUTANTS[@]}"; do
		IFS='|' read -r name property sizes what <<<"$mutant"
		read -ra macros <<<"$sizes"
		explore "$name" "-DNO_$name" "${macros[@]}"
	done
	finish_all
	echo "mutants:"
	for mutant in "${MUTANTS[@]}"; do
		IFS='|' read -r name property sizes what <<<"$mutant"
		report_mutant "$name" "$property" "$what" || failures=$((failures + 1))
	done
	((failures == 0)) || fail "$failures mutants were not caught"
}

replay() { # MUTANT
	local mutant name property sizes what macros
	for mutant in "${MUTANTS[@]}"; do
		IFS='|' read -r name property sizes what <<<"$mutant"
		[[ $name == "${1#NO_}" ]] || continue
		read -ra macros <<<"$sizes"
		explore "$name" "-DNO_$name" "${macros[@]}"
		finish_all
		say "without \"$what\": $(broken "$name") breaks"
		cd "$TMP/$name"
		spin -t "-DNO_$name" "${macros[@]}" -DLIVENESS lanes.pml |
			grep -E '^ *(direction|socket) '
		return
	done
	fail "no such mutant: $1"
}

need spin gcc
case ${1-} in
"") prove "${SCENARIOS[@]}" && catch_mutants ;;
--larger) prove "${LARGER[@]}" ;;
*) replay "$1" ;;
esac
