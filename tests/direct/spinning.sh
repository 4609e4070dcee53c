#!/bin/bash
# Readers that are in a recv nearly always when their sockets enter the lane, and leave it, on a machine
# that is short of processors: none sees the end of the stream before its last byte.
#
#   TRIALS  of each kind (default 500)
#   SEED    (default random, printed)
. "$(dirname "$0")/lib.sh"
SPINNING=$BUILD/tests/direct/spinning
[[ -x $SPINNING ]] || fail "$SPINNING is not there: build it first"
TRIALS=${TRIALS:-500}
SEED=${SEED:-$SRANDOM}

# Threads that wait for a processor are what goes wrong here.
load() {
	local i
	for i in {1..4}; do
		spawn "load-$i" timeout 500 bash -c 'while :; do :; done'
		LOAD_PIDS+=("$SPAWNED_PID")
	done
}

begin_direct
start_accelerate --any-program --existing --debug-eager --interval 1ms
load
for kind in enter leave; do
	before=$(direct_status .bytes.direct)
	# The scan may have been too late for all of them.
	for ((round = 0, direct = 0; round < 3 && direct == 0; round++)); do
		"${INSIDE[@]}" "$SPINNING" "$TRIALS" $((SEED + round)) "$kind" >"$TMP/$kind.log" 2>&1 ||
			fail "$kind, seed $((SEED + round)): $(tail -n 5 "$TMP/$kind.log")"
		direct=$(($(direct_status .bytes.direct) - before))
	done
	((direct > 0)) || fail "$kind, seed $SEED: nothing went direct"
	say "$kind, seed $SEED: $(tail -n 1 "$TMP/$kind.log"), $direct bytes direct"
done
for pid in "${LOAD_PIDS[@]}"; do
	end "$pid"
done
stop_accelerate
