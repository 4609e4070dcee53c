# shellcheck shell=bash
# What the shell tests share. A test sources this file first; it then has a temporary directory in
# $TMP, and whatever it started with `spawn` or `start_proxyd` is gone when it ends, however it ends.
#
#   BUILD        where the test programs were built (default build/release)
#   PROXYD       the binary under test (default $BUILD/proxyd)
#   QUICK=1      less traffic, for slow builds
#   REQUIRE_BPF  1 turns a skip into a failure
#   KEEP_TMP=1   leaves $TMP behind
set -euo pipefail
shopt -s inherit_errexit
export LC_ALL=C

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=${BUILD:-$ROOT/build/release}
PROXYD=${PROXYD:-$BUILD/proxyd}
QUICK=${QUICK:-0}
TEST=$(basename "$0" .sh)
TMP=$(mktemp -d "${TMPDIR:-/tmp}/sidelane-$TEST-XXXXXX")
chmod 755 "$TMP" # some programs run as another user
SPAWNED=()       # "PID NAME", newest last

# ---- verdicts ----

say() { printf '%s: %s\n' "$TEST" "$*"; }

fail() {
	printf '%s: FAILED: %s\n' "$TEST" "$*" >&2
	exit 1
}

skip() {
	[[ ${REQUIRE_BPF-} != 1 ]] || fail "may not be skipped here: $*"
	printf '%s: SKIPPED: %s\n' "$TEST" "$*" >&2
	exit 77
}

need() {
	local program
	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed (tests/install)"
	done
}

need_root() {
	((EUID == 0)) || skip "needs root"
}

assert_equal() { # EXPECTED ACTUAL WHAT
	[[ $1 == "$2" ]] || fail "$3: expected '$1', got '$2'"
}

assert_number() { # A -lt|-le|-eq|-ge|-gt B WHAT
	test "$1" "$2" "$3" || fail "$4: not $1 $2 $3"
}

assert_same_file() { # EXPECTED ACTUAL WHAT
	cmp "$1" "$2" >&2 || fail "$3: the content is not the same"
}

# ---- waiting ----

wait_until() { # SECONDS COMMAND...
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.05
	done
}

# By the socket table, not by connecting: a probe's connection would count as a flow.
listening() { [[ -n $(ss -Hltn "sport = :$1") ]]; } # PORT

wait_listening() { # PORT NAME
	wait_until 60 listening "$1" || fail "$2 does not listen on port $1"
}

# ---- ports ----

# Sets VAR to a port that nobody uses, from below the range of ephemeral ports. The lock keeps other
# tests off it as long as this test, or something that it started, is alive.
PORT_LOCKS=()
free_port() { # VAR
	local locks=/tmp/sidelane-ports port lock
	mkdir -p "$locks"
	while :; do
		port=$((10000 + SRANDOM % 20000))
		exec {lock}>"$locks/$port"
		if flock -n "$lock" && ! listening "$port"; then
			printf -v "$1" %s "$port"
			PORT_LOCKS+=("$locks/$port")
			return
		fi
		exec {lock}>&-
	done
}

# ---- programs ----

alive() { kill -0 "$1" 2>/dev/null; }
gone() { ! alive "$1"; }

# Starts a program in a process group of its own; its PID is in $SPAWNED_PID, its output in
# $TMP/NAME.log.
spawn() { # NAME COMMAND...
	local name=$1
	shift
	: >"$TMP/$name.log"
	setsid "$@" >>"$TMP/$name.log" 2>&1 </dev/null &
	SPAWNED_PID=$!
	SPAWNED+=("$SPAWNED_PID $name")
}

# To the process group of a spawned program, or to a coprocess, which has none of its own.
send() { # SIGNAL PID
	kill -"$1" -- "-$2" 2>/dev/null || kill -"$1" "$2" 2>/dev/null || true
}

end() { # PID
	send TERM "$1"
	wait_until 5 gone "$1" || send KILL "$1"
	wait "$1" 2>/dev/null || true
	forget "$1"
}

forget() { # PID
	local i
	for i in "${!SPAWNED[@]}"; do
		[[ ${SPAWNED[i]%% *} != "$1" ]] || unset 'SPAWNED[i]'
	done
}

# Runs a program as the user nobody: some refuse to be root.
as_nobody() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }

cleanup() {
	local status=$? i pids=()
	trap - EXIT
	trap '' HUP INT TERM
	for i in "${!SPAWNED[@]}"; do
		pids=("${SPAWNED[i]%% *}" "${pids[@]}")
	done
	for i in "${pids[@]}"; do
		end "$i"
	done
	if ((status != 0 && status != 77)); then
		show_logs >&2
	fi
	[[ ${KEEP_TMP-} == 1 ]] || rm -rf "$TMP"
	((${#PORT_LOCKS[@]} == 0)) || rm -f "${PORT_LOCKS[@]}"
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' HUP INT TERM

show_logs() {
	local log
	for log in "$TMP"/*.log; do
		[[ -s $log ]] || continue
		printf -- '---- %s (last lines)\n' "$(basename "$log")"
		tail -n 40 "$log"
	done
}

# ---- proxyd ----

CONTROL=$TMP/control.sock

# Starts `proxyd run` with a control socket of its own and waits until it is ready. Sets PROXYD_PID
# and PROXYD_LOG. To run it under another program: PROXYD_PREFIX=(setpriv ...).
PROXYD_PREFIX=()
PROXYD_RUNS=0
start_proxyd() { # ARGS...
	[[ -x $PROXYD ]] || fail "$PROXYD is not there: build it first"
	PROXYD_RUNS=$((PROXYD_RUNS + 1))
	spawn "proxyd-$PROXYD_RUNS" "${PROXYD_PREFIX[@]}" "$PROXYD" run --control "$CONTROL" "$@"
	PROXYD_PID=$SPAWNED_PID
	PROXYD_LOG=$TMP/proxyd-$PROXYD_RUNS.log
	wait_until 60 ready_or_dead || fail "proxyd is not ready after a minute"
	grep -qw ready "$PROXYD_LOG" || fail "proxyd ended before it was ready"
	remember_traces
}

ready_or_dead() { grep -qw ready "$PROXYD_LOG" || gone "$PROXYD_PID"; }

# SIGTERM, then: exit status 0, no sanitizer's report, nothing left behind in the kernel.
stop_proxyd() {
	remember_traces
	kill -TERM "$PROXYD_PID"
	proxyd_ended 60
	assert_equal 0 "$PROXYD_EXIT" "proxyd's exit status after SIGTERM"
	assert_no_cgroup
}

# Waits for proxyd to end by itself or by a signal that was sent; sets PROXYD_EXIT.
proxyd_ended() { # SECONDS
	wait_until "$1" gone "$PROXYD_PID" || fail "proxyd has not ended after $1 s"
	PROXYD_EXIT=0
	wait "$PROXYD_PID" || PROXYD_EXIT=$?
	forget "$PROXYD_PID"
	assert_no_sanitizer_report "$PROXYD_LOG"
	assert_nothing_in_kernel
}

proxyd_status() { # JQ-FILTER
	"$PROXYD" status --json --control "$CONTROL" | jq -er "$1"
}

no_active_flows() { [[ $(proxyd_status .flows.active) == 0 ]]; }

# When all clients are gone, so are their flows.
assert_no_active_flows() {
	wait_until 30 no_active_flows || fail "$(proxyd_status .flows.active) flows are still active"
}

assert_no_sanitizer_report() { # LOG
	! grep -nE 'Sanitizer:|runtime error:' "$1" >&2 || fail "sanitizer report in $(basename "$1")"
}

# ---- lanes ----

# The first argument of a test that is run once for each lane. Sets LANE.
take_lane() { # kernel|relay|auto
	LANE=${1:?"usage: $TEST.sh kernel|relay|auto"}
	TEST=$TEST.$LANE
	[[ $LANE != kernel ]] || need_kernel_lane
}

need_kernel_lane() {
	local status=0
	"$PROXYD" doctor >"$TMP/doctor.log" 2>&1 || status=$?
	((status == 0)) || skip "no safe kernel lane here: proxyd doctor exits with $status"
}

# At least MIN bytes, both directions together, went through proxyd by the lane that was asked for.
# What arrives before a flow's two sockets are paired is relayed: how much that is depends on how busy the
# machine is, so more than half of the bytes is all that can be asked for.
assert_carried() { # MIN [SHARE-WHERE-THE-WINDOW-WAS-FULL]
	local kernel relay stalls share=50
	stalls=$(proxyd_status .window_stalls)
	kernel=$(proxyd_status .bytes.kernel)
	relay=$(proxyd_status .bytes.relay)
	say "bytes: kernel $kernel, relay $relay; $stalls times the window was full"
	assert_number $((kernel + relay)) -ge "$1" "bytes through proxyd"
	# Bytes that meet a full window are relayed, and so is what follows until the sender pauses, which may be
	# nearly all of them where a program sends as fast as it can.
	((stalls == 0)) || share=${2:-0}
	case $LANE in
	kernel)
		assert_number "$kernel" -gt 0 "bytes by the kernel lane"
		assert_number $((kernel * 100)) -ge $(((kernel + relay) * share)) "share of the kernel lane"
		;;
	relay) assert_equal 0 "$kernel" "bytes by the kernel lane" ;;
	esac
}

# ---- storm ----

# Runs $STORM with $CONNECTIONS and $SEED as the clients and the server of a proxyd.
storm_through() { # CLIENTS-CONNECT-TO SERVER-LISTENS-ON
	local log="$TMP/storm"
	if ! "$STORM" --connect "$1" --listen "$2" --connections "$CONNECTIONS" --seed "$SEED" >"$log"; then
		cat "$log" >&2
		proxyd_status . >&2 || true
		fail "$1: $(tail -n 1 "$log"), seed $SEED"
	fi
	say "$1, seed $SEED: $(tail -n 1 "$log"); $(tail -n 2 "$log" | head -n 1)"
	assert_no_active_flows
}

# ---- what proxyd may leave behind ----

# "prog 12", "map 3", "link 7": what proxyd holds in the kernel, and its cgroups. Only ours: other
# tests run at the same time.
BPF_IDS=()
CGROUPS=()
remember_traces() {
	mapfile -t BPF_IDS < <({
		printf '%s\n' "${BPF_IDS[@]}"
		cat "/proc/$PROXYD_PID"/fdinfo/* 2>/dev/null |
			sed -nE 's/^(prog|map|link)_id:[[:space:]]*/\1 /p'
	} | sed '/^$/d' | sort -u)
	mapfile -t CGROUPS < <({
		printf '%s\n' "${CGROUPS[@]}"
		cat "/proc/$PROXYD_PID"/task/*/cgroup 2>/dev/null | sed -n 's/^0:://p'
	} | sed '/^$/d' | sort -u)
}

# The kernel frees them a moment after the last reference has gone.
assert_nothing_in_kernel() {
	local object
	for object in "${BPF_IDS[@]}"; do
		# shellcheck disable=SC2086 # two words: type and id
		wait_until 60 bpf_object_gone $object || fail "proxyd left in the kernel: $(
			bpftool ${object% *} show id "${object#* }" 2>&1)"
	done
	BPF_IDS=()
}

bpf_object_gone() { # prog|map|link ID
	! bpftool "$1" show id "$2" >/dev/null 2>&1
}

assert_no_cgroup() {
	local own mount path
	own=$(sed -n 's/^0:://p' /proc/self/cgroup)
	mount=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
	for path in "${CGROUPS[@]}"; do
		[[ $path == "$own" || ! -e $mount$path ]] || fail "proxyd left its cgroup $path"
	done
	CGROUPS=()
}
