#!/bin/bash
# A network namespace whose processes have ended is let go of: its devices go with it, and its name can be used
# again. One whose sockets are in the lane is visited until they have left it, also when its process is elsewhere.
# Where there are too many that is said.
. "$(dirname "$0")/lib.sh"

begin_direct
free_port BACKEND
add_twins
GONE=${TWINS[0]} STAYS=${TWINS[1]}
add_twin() { ip link add "sl$$h" type veth peer name "sl$$n" netns "$1"; } # NAME
add_twin "$GONE"
start_accelerate --interval 20ms --program "$PYTHON"

INSIDE+=(ip netns exec "$GONE")
start_ends 127.0.0.1 "$BACKEND" 3
talk_into_lane 6
ends talk 100
end "$ENDS_PID"
ip netns delete "$GONE"
device_gone() { ! ip link show "sl$$h" >/dev/null 2>&1; }
wait_until 60 device_gone || fail "a namespace that is gone has left its device"
ip netns add "$GONE"
add_twin "$GONE" || fail "a device cannot be made anew"
say "a namespace that is gone is let go of"

held() { find "/proc/$ACCELERATE_PID/fd" -lname 'net:*' | wc -l; }
few_held() { (($(held) <= 1)); }
for i in {1..8}; do
	"${INSIDE[@]}" unshare -n sleep 0.1
done
wait_until 60 few_held || fail "$(held) namespaces are held when all but its own are gone"

# Its processes leave the cgroup: nothing but the sockets is there to find it by.
INSIDE=("${INSIDE[@]:0:4}" ip netns exec "$STAYS")
start_ends 127.0.0.1 "$BACKEND" 3
talk_into_lane 6
ends send 20000
echo "$ENDS_PID" >"$CGROUP_ROOT/cgroup.procs"
kill -TERM "$ACCELERATE_PID"
grep_stopping() { grep -q stopping "$ACCELERATE_LOG"; }
wait_until 60 grep_stopping || fail "no end: $(cat "$ACCELERATE_LOG")"
ends drain
assert_equal 0 "$ANSWER" "bytes that are missing"
accelerate_ended
ends talk 100
end "$ENDS_PID"
say "sockets leave the lane when their process is no longer there to find them by"

for i in {1..34}; do
	spawn "lonely-$i" "${INSIDE[@]:0:4}" unshare -n sleep 1000
done
lonely() { [[ $(grep -c . "$CGROUP/cgroup.procs") == 34 ]]; }
wait_until 60 lonely || fail "they are not there: $(cat "$CGROUP/cgroup.procs")"
(
	ulimit -n 64
	accelerate --dry-run --duration 300ms >"$TMP/many.log" 2>&1
) || fail "too many namespaces: $(cat "$TMP/many.log")"
assert_equal 1 "$(grep -c 'more than 32 network namespaces' "$TMP/many.log")" "how often it says that there are too many"
