#!/bin/bash
# A connection in the lane goes to a program that is not known and splices: inherited over exec, or passed over
# a unix socket. It leaves the lane, and the program gets all that comes from then on.
. "$(dirname "$0")/lib.sh"

begin_direct
cp "$(python3 -c 'import sys; print(sys.executable)')" "$TMP/talker"
start_accelerate --interval 20ms --program talker

nobody_in_lane() {
	direct_status '[.connections[].reason] | any(. == "program") and all(. != "in_lane" and . != "leaving")'
}

for how in inherit pass; do
	rm -f "$TMP/go" "$TMP/left"
	spawn "$how" "${INSIDE[@]}" "$TMP/talker" "$HERE/passed_on.py" "$how" "$TMP" "$(command -v python3)"
	pid=$SPAWNED_PID status=0
	wait_until 60 sockets_are in_lane 2 || fail "not in the lane: $(direct_status .sockets)"
	touch "$TMP/go"
	wait_until 60 grep -q 'passed on' "$TMP/$how.log" || fail "not passed on: $(cat "$TMP/$how.log")"
	wait_until 60 nobody_in_lane >/dev/null || fail "stays in the lane: $(direct_status .connections)"
	touch "$TMP/left"
	wait_until 120 gone "$pid" || fail "$how: it hangs"
	wait "$pid" || status=$?
	forget "$pid"
	assert_equal 0 "$status" "exit status of $how: $(cat "$TMP/$how.log")"
	assert_equal 300000 "$(tail -n 1 "$TMP/$how.log")" "bytes that were spliced, $how"
	say "$how: a program that splices gets all that comes once the socket has left the lane"
done
stop_accelerate
