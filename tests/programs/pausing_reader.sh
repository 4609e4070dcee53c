#!/bin/bash
# Readers that pause and then go on. Meanwhile the sockets of proxyd fill up, and their TCP must not drop
# what it has invited: the sender would try again by its timer, twice as late each time, and a reader
# that goes on after 13 seconds could wait for 12 more.
#
# In a network namespace of its own, whose TCP counters are ours alone.
#
#   pausing_reader.sh kernel|relay|auto|switch
if [[ -z ${NAMESPACE-} && $EUID == 0 ]]; then
	# shellcheck disable=SC2016 # expanded by the inner shell
	NAMESPACE=ours exec unshare --net bash -c 'ip link set lo up && exec "$0" "$@"' "$0" "$@"
fi
. "$(dirname "$0")/../lib.sh"
need_root # for that namespace
need python3 nstat
SEED=${SEED:-$SRANDOM}
FLOWS=32
((QUICK == 0)) || FLOWS=8
if [[ ${1-} == switch ]]; then
	TEST=$TEST.switch LANE=auto OPTIONS=(--debug-switch-lanes "$SEED")
	need_kernel_lane
else
	take_lane "$@"
	OPTIONS=()
fi

free_port FRONT
free_port BACK
start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACK" --lane "$LANE" "${OPTIONS[@]}"
WAITED=$(python3 "$ROOT/tests/programs/pausing_reader.py" "$FRONT" "$BACK" "$FLOWS" 12 3 $((SEED % 65536))) ||
	fail "bytes are missing, seed $SEED"
say "seed $SEED: $FLOWS flows, the longest wait after a pause $WAITED"
for counter in TcpExtTCPRcvQDrop TcpExtTCPZeroWindowDrop TcpExtRcvPruned; do
	assert_equal 0 "$(nstat -asz "$counter" | awk -v name="$counter" '$1 == name { print $2 }')" \
		"$counter, seed $SEED"
done
stop_proxyd
