#!/bin/bash
# A cgroup that is removed and made anew under the same name, as for a service that is restarted, is followed;
# sockets of the old one leave the lane first, and what cannot is named.
. "$(dirname "$0")/lib.sh"

begin_direct
free_port BACKEND
says() { wait_until 60 grep -qs "$1" "$ACCELERATE_LOG" || fail "no word of it: $(cat "$ACCELERATE_LOG")"; } # PATTERN
status_is() { accelerate --status >/dev/null 2>&1; }
remove_cgroup() { rmdir "$CGROUP"; }
start_accelerate --interval 20ms --program "$PYTHON"

remove_cgroup
says 'No such file.*accelerating goes on when it is made anew'
sleep 0.2
assert_equal 1 "$(grep -c 'goes on when it is made anew' "$ACCELERATE_LOG")" "times that it says that it is gone"
mkdir "$CGROUP"
says 'accelerating the new one'
wait_until 60 status_is || fail "the new one is not accelerated: $(cat "$ACCELERATE_LOG")"
start_ends 127.0.0.1 "$BACKEND" 3
talk_into_lane 6
assert_equal 1 "$(find "$PIN" -mindepth 1 -maxdepth 1 -name 'sidelane*' | wc -l)" "lanes that are pinned"
say "the new one is accelerated"

# Sockets of the old one, with bytes that wait, whose process is elsewhere by now.
send_direct 3
echo "$ENDS_PID" >"$CGROUP_ROOT/cgroup.procs"
wait_until 60 remove_cgroup
mkdir "$CGROUP"
says 'sockets are still in the lane.*the programs of 3 have not read'
wait_until 60 status_is || fail "the new one is not accelerated: $(cat "$ACCELERATE_LOG")"
ends drain
assert_equal 0 "$ANSWER" "bytes that are missing"
"$PROXYD" accelerate --clear --pin "$PIN" || fail "--clear fails"
ends talk 100
end "$ENDS_PID"
stop_accelerate
