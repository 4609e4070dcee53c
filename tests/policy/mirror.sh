#!/bin/bash
# A mirror gets exactly the client's bytes while it keeps up. What it does not, be it slow, stopped,
# dead or refusing, is no concern of the first upstream's.
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need python3

free_port FRONT
free_port PLAIN
free_port FIRST
free_port SHADOW
SEED=${SEED:-$SRANDOM}
COUNT=120
BULK=$((192 * 1024 * 1024))
((QUICK == 0)) || COUNT=40 BULK=$((32 * 1024 * 1024))
PROGRAM=(python3 "$ROOT/tests/policy/mirror.py")

cat >"$TMP/config.yaml" <<END
lane: $LANE
listeners:
  - {name: front, address: "127.0.0.1:$FRONT"}
  - {name: plain, address: "127.0.0.1:$PLAIN"}
routes:
  - {name: mirrored, match: {listener: front}, upstream: first, mirror: shadow}
  - {name: plain, upstream: first}
upstreams:
  - {name: first, endpoints: "127.0.0.1:$FIRST"}
  - {name: shadow, endpoints: "127.0.0.1:$SHADOW", timeouts: {connect: 1m}}
END

start_shadow() { # HOW [FILE]
	spawn shadow "${PROGRAM[@]}" shadow "$SHADOW" "$@"
	SHADOW_PID=$SPAWNED_PID
	wait_listening "$SHADOW" "the mirror"
}

descriptors() {
	local names=("/proc/$PROXYD_PID"/fd/*)
	echo "${#names[@]}"
}

few_descriptors() { (($(descriptors) <= BEFORE + 32)); } # pipes are kept for the next ones

mirror_status() { proxyd_status ".mirrors.$1"; }

mirrored_all() { (($(wc -l <"$TMP/shadow.log") >= $1)); }

same_streams() { # SENT
	wait_until 60 mirrored_all "$(wc -l <"$1")" || fail "the mirror has seen too few connections"
	diff <(sort "$1") <(sort "$TMP/shadow.log") >&2 ||
		fail "the mirror has got something else, seed $SEED"
}

test_keeps_up() {
	start_shadow keep "$TMP/progress"
	# What is buffered for a mirror is always enough for these.
	"${PROGRAM[@]}" send "$FRONT" "$COUNT" 250000 "$SEED" >"$TMP/sent"
	same_streams "$TMP/sent"
	# More than is buffered, by one that waits for the mirror.
	echo 0 >"$TMP/progress"
	"${PROGRAM[@]}" stream "$FRONT" $((4 * 1024 * 1024)) "$TMP/progress" | cut -d ' ' -f 1-3 >>"$TMP/sent"
	same_streams "$TMP/sent"
	assert_equal 0 "$(mirror_status dropped)" "bytes dropped"
	assert_equal $((COUNT + 1)) "$(mirror_status total)" "mirrors"
	assert_equal "$(awk '{n += $2} END {print n}' "$TMP/sent")" "$(mirror_status bytes)" "bytes mirrored"
	# A client's RST must not look like an end to the mirror.
	"${PROGRAM[@]}" cut "$FRONT" 1000
	wait_until 60 grep -q '1000 reset' "$TMP/shadow.log" || fail "the mirror was not reset"
	assert_equal '0 0 0' "$(mirror_status 'lost | "\(.unreachable) \(.slow) \(.reset)"')" "lost mirrors"
	end "$SHADOW_PID"
}

bulk() { # PORT
	"${PROGRAM[@]}" stream "$1" "$BULK" >"$TMP/bulk" || fail "$BULK bytes did not get through"
	cut -d ' ' -f 4 "$TMP/bulk"
}

# The first upstream gets every byte. Returns whether it was as fast as beside no mirror, or as a busy machine
# is: who waits for one that takes 64 KiB a second, or nothing, is slower by far.
hurts_nobody() { # HOW LOSS...
	local dropped ms reason now=0 before=0
	for reason in "${@:2}"; do before=$((before + $(mirror_status "lost.$reason"))); done
	dropped=$(mirror_status dropped) || exit 1
	ms=$(bulk "$FRONT") || exit 1
	dropped=$(($(mirror_status dropped) - dropped))
	say "$1: $ms ms, without a mirror $UNHURT_MS; $dropped of $BULK bytes dropped"
	for reason in "${@:2}"; do now=$((now + $(mirror_status "lost.$reason"))); done
	assert_equal $((before + 1)) "$now" "mirrors lost, ${*:2}"
	assert_number "$dropped" -gt $((BULK / 4)) "bytes dropped"
	((ms <= 5 * UNHURT_MS + 20000))
}

# Where it was slow the machine may have been: then both are measured once more.
test_hurts_nobody() { # HOW LOSS...
	local try
	for try in 2 3; do
		! hurts_nobody "$@" || return 0
		UNHURT_MS=$(bulk "$PLAIN") || exit 1
		say "$1: try $try"
	done
	hurts_nobody "$@" || fail "$1: slow beside this mirror each time"
}

spawn first "${PROGRAM[@]}" first "$FIRST"
wait_listening "$FIRST" "the first upstream"
start_proxyd -c "$TMP/config.yaml"
BEFORE=$(descriptors)
test_keeps_up

UNHURT_MS=$(bulk "$PLAIN")
test_hurts_nobody refusing unreachable
for how in slow hold; do
	start_shadow "$how"
	test_hurts_nobody "$how" slow
	end "$SHADOW_PID"
done
# Its buffer may be full before the RST comes.
start_shadow reset
test_hurts_nobody reset reset slow
end "$SHADOW_PID"
start_shadow keep
send STOP "$SHADOW_PID"
test_hurts_nobody stopped slow
send CONT "$SHADOW_PID"
end "$SHADOW_PID"
spawn shadow python3 "$ROOT/tests/peer.py" full "$SHADOW"
wait_until 60 grep -q full "$TMP/shadow.log" || fail "no silent server"
test_hurts_nobody silent slow

assert_no_active_flows
wait_until 60 few_descriptors || fail "$(descriptors) descriptors, $BEFORE at first"
stop_proxyd
