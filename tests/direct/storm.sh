#!/bin/bash
# storm's two sides straight at each other, in an accelerated cgroup, over IPv4 and IPv6: no byte lost,
# doubled, reordered or foreign, no hang, no wrong close. Whatever is eligible is enrolled at once, bulk
# too, so that both ways of a message alternate.
#
#   storm.sh calm|churn|kill|blocking
#     calm    proxyd accelerates all the time
#     churn   it starts and stops all the time: live connections enter the lane and leave it
#     kill    it is killed and started again: the next one adopts
#     blocking
#             as calm, but every second end is blocking: none of these may be enrolled
#
#   CONNECTIONS  for each address family (default 3000)
#   SEED         of storm (default random, printed)
. "$(dirname "$0")/lib.sh"
TOOLS=${TOOLS:-$ROOT/build/release/tests/storm}
[[ -x $TOOLS/storm ]] || fail "$TOOLS/storm is not there: build it first"
MODE=${1:?"usage: storm.sh calm|churn|kill|blocking"}
TEST=$TEST.$MODE
DEFAULT=3000
((QUICK == 0)) || DEFAULT=1000
CONNECTIONS=${CONNECTIONS:-$DEFAULT}
SEED=${SEED:-$SRANDOM}
BLOCKING=0
[[ $MODE != blocking ]] || BLOCKING=50
EAGER=(--any-program --existing --debug-eager --interval 1ms)

begin_direct
free_port BACKEND

storm_on() { alive "$STORM_PID"; }

# Enough of the connections are there when it begins.
start_storm() { # HOST
	spawn storm "${INSIDE[@]}" "$TOOLS/storm" --connect "$1:$BACKEND" --listen "$1:$BACKEND" \
		--connections "$CONNECTIONS" --threads 2 --concurrency 100 --seed "$SEED" \
		--blocking "$BLOCKING" \
		--except urgent # sockets that may receive urgent bytes are not eligible
	STORM_PID=$SPAWNED_PID
}

end_storm() { # HOST
	local status=0
	wait "$STORM_PID" || status=$?
	forget "$STORM_PID"
	((status == 0)) || fail "$1, seed $SEED: $(grep BAD "$TMP/storm.log" | head -n 5)" \
		"$(tail -n 1 "$TMP/storm.log")"
}

# Bytes that went direct so far, before the totals go with the lane.
DIRECT=0
count_direct() {
	local now
	now=$(direct_status .bytes.direct 2>/dev/null) || return 0
	DIRECT=$((DIRECT + now))
}

stop_and_start() {
	count_direct
	stop_accelerate
	start_accelerate "${EAGER[@]}"
}

# The next one adopts the totals with the sockets, or removes both when there are no sockets left.
kill_and_adopt() {
	local before
	before=$(direct_status .bytes.direct)
	kill_accelerate
	sleep 0.1
	start_accelerate "${EAGER[@]}"
	(($(direct_status .bytes.direct) >= before)) || DIRECT=$((DIRECT + before))
}

storm() { # HOST
	start_storm "$1"
	while storm_on; do
		case $MODE in
		calm) sleep 0.2 ;;
		blocking)
			LEFT_OUT=$((LEFT_OUT + $(direct_status .sockets.blocking)))
			sleep 0.2
			;;
		churn)
			sleep 0.4
			stop_and_start
			;;
		kill)
			sleep 0.3
			kill_and_adopt
			;;
		esac
		ROUNDS=$((ROUNDS + 1))
	done
	end_storm "$1"
	if [[ $MODE == churn ]]; then stop_and_start; else count_direct; fi
}

# Again, if the machine was too busy to look at the sockets while they lived.
for host in 127.0.0.1 '[::1]'; do
	DIRECT=0
	ROUNDS=0
	LEFT_OUT=0
	start_accelerate "${EAGER[@]}"
	until=$((SECONDS + 200))
	while ((DIRECT <= 1000000)) || [[ $MODE == blocking && $LEFT_OUT == 0 ]]; do
		((SECONDS < until)) || fail "in 200 s $DIRECT bytes went direct, $LEFT_OUT were left out"
		storm "$host"
	done
	stop_accelerate
	say "$host, seed $SEED: $(tail -n 1 "$TMP/storm.log"), $DIRECT bytes direct, $ROUNDS rounds"
done
