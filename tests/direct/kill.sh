#!/bin/bash
# kill -9: connections go on in the lane that is pinned, the next proxyd adopts it, --clear ends it
# and says what it waits for.
. "$(dirname "$0")/lib.sh"

begin_direct
free_port BACKEND
start_accelerate --interval 20ms --program "$PYTHON"
start_ends 127.0.0.1 "$BACKEND" 3
talk_into_lane 6

kill_accelerate
before=$(direct_status .bytes.direct)
ends talk 100
assert_most $((3 * 2 * 100 * 64)) $(($(direct_status .bytes.direct) - before)) "bytes direct after kill -9"
assert_equal false "$(direct_status '.running | tostring')" "whether proxyd is running"

start_accelerate --interval 20ms --program "$PYTHON"
wait_sockets in_lane 6
ends talk 100
! accelerate 2>"$TMP/second.log" || fail "a second proxyd takes the same cgroup"
grep -q 'another proxyd' "$TMP/second.log" || fail "it says: $(cat "$TMP/second.log")"
say "adopted"

# Bytes that went direct and were not read: nobody may be taken out.
send_direct 3
kill_accelerate
! accelerate --clear --drain-timeout 1s 2>"$TMP/clear.log" || fail "--clear does not wait"
grep -q 'the programs of 3 have not read' "$TMP/clear.log" || fail "--clear says: $(cat "$TMP/clear.log")"
grep -q -- '--clear' "$TMP/clear.log" || fail "no word of what to do: $(cat "$TMP/clear.log")"
assert_equal reader "$(direct_status '[.connections[] | select(.waits_for) | .waits_for[]] | unique[0]')" \
	"what they wait for"
ends send 20000
ends drain
assert_equal 0 "$ANSWER" "bytes that are missing"
accelerate --clear || fail "--clear fails"
assert_nothing_pinned
accelerate --clear || fail "--clear fails where there is nothing to clear"
! accelerate --status 2>"$TMP/status.log" || fail "--status finds what is not there"
grep -q 'is not accelerated' "$TMP/status.log" || fail "--status says: $(cat "$TMP/status.log")"
ends talk 100
ends half 100000
end "$ENDS_PID"
say "cleared when everything was read"

# The next one cannot try what FIONREAD says, for want of a loopback interface. A socket may enter all the same only
# when nothing waits, of which a part may have been read.
start_accelerate --interval 5ms --any-program --existing --debug-eager
start_ends 127.0.0.1 "$BACKEND" 1
talk_into_lane 2
kill_accelerate
printf '#!/bin/sh\nexec unshare --net "%s" "$@"\n' "$PROXYD" >"$TMP/without-loopback"
chmod +x "$TMP/without-loopback"
PROXYD=$TMP/without-loopback start_accelerate --interval 5ms --any-program --existing --debug-eager
ends set blocking
wait_sockets in_lane 0
ends send 1000
ends sip 400
ends set nonblocking
sleep 0.5
ends send 1000
ends drain
assert_equal 0 "$ANSWER" "bytes that are missing"
talk_into_lane 2
end "$ENDS_PID"
stop_accelerate
say "adopted by one that knows less"
