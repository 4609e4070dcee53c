#!/bin/bash
# What killed proxyds have left is cleared by whoever comes, if its sockets have gone; what has sockets is named,
# and `--clear` without a cgroup takes them out. What a proxyd has that is at work stays.
. "$(dirname "$0")/through_lib.sh"

begin_through
clear_all() { "$PROXYD" accelerate --clear --pin "$PIN" "$@"; }
make_cgroup_anew() { rmdir "$CGROUP" && mkdir "$CGROUP"; }
pins() { find "$PIN" -mindepth 1 -maxdepth 1 -name "sidelane-$1-*"; } # direct|through
of_cgroup() { echo "$PIN"/sidelane-direct-*-"$(stat -c %i "$CGROUP")"; }

# ---- nobody in it ----
start_accelerate
old=$(pins direct)
kill_accelerate
make_cgroup_anew
start_accelerate
assert_equal "$(of_cgroup)" "$(pins direct)" "what is pinned beside what was left of a cgroup that is gone"
[[ $(pins direct) != "$old" ]] || fail "the cgroup is the same"
kill_accelerate
make_cgroup_anew
accelerate --clear || fail "--clear fails where there is nothing but what was left"
assert_nothing_pinned
say "a start and --clear remove what is left of a cgroup that is gone"

# ---- somebody in it: in a network namespace of its own, and elsewhere by now ----
OUTSIDE=("${INSIDE[@]}")
# shellcheck disable=SC2016 # expanded by the shell that it starts
INSIDE+=(unshare -n bash -c 'ip link set lo up; exec "$@"' -)
start_accelerate --interval 20ms --program "$PYTHON"
start_ends 127.0.0.1 "$BACKEND" 3
talk_into_lane 6
send_direct 3
kill_accelerate
echo "$ENDS_PID" >"$CGROUP_ROOT/cgroup.procs"
wait_until 60 make_cgroup_anew || fail "the cgroup cannot be removed"
left=$(pins direct)
accelerate --clear 2>"$TMP/clear.log" || fail "--clear fails: $(cat "$TMP/clear.log")"
grep -q "$left.*proxyd accelerate --clear" "$TMP/clear.log" || fail "--clear says: $(cat "$TMP/clear.log")"
! clear_all --drain-timeout 1s 2>"$TMP/clear.log" || fail "--clear does not wait"
grep -q "$left.*the programs of 3 have not read" "$TMP/clear.log" || fail "--clear says: $(cat "$TMP/clear.log")"
ends drain
assert_equal 0 "$ANSWER" "bytes that are missing"
clear_all || fail "--clear fails"
assert_nothing_pinned
ends talk 100
end "$ENDS_PID"
INSIDE=("${OUTSIDE[@]}")
rmdir "$CGROUP"
! accelerate --clear 2>"$TMP/clear.log" || fail "a cgroup that does not exist is cleared"
grep -q 'proxyd accelerate --clear' "$TMP/clear.log" || fail "--clear says: $(cat "$TMP/clear.log")"
mkdir "$CGROUP"
! clear_all --pin "$TMP" 2>"$TMP/clear.log" || fail "any directory is a BPF file system"
say "--clear takes out the sockets of a cgroup that is gone"

# ---- of another version, whose sockets nobody can take out ----
start_accelerate --interval 20ms --program "$PYTHON"
start_ends 127.0.0.1 "$BACKEND" 3
talk_into_lane 6
kill_accelerate
left=${PIN}/sidelane-direct-1-1
mv "$(pins direct)" "$left"
clear_all 2>"$TMP/clear.log" || fail "--clear fails: $(cat "$TMP/clear.log")"
grep -q "$left: left by another version" "$TMP/clear.log" || fail "--clear says: $(cat "$TMP/clear.log")"
assert_equal "$left" "$(pins direct)" "what another version has left, with sockets"
ends talk 100
end "$ENDS_PID"
clear_all
assert_nothing_pinned
say "what another version has left is removed when its sockets have closed"

# ---- of `run --direct-lane` ----
FROM='' start_through 127.0.0.1
kill -KILL "$PROXYD_PID"
wait "$PROXYD_PID" 2>/dev/null || true
forget "$PROXYD_PID"
left=$(pins through)
[[ -n $left ]] || fail "nothing is left after kill -9"
sed -i 's/direct_lane: true/direct_lane: false/' "$TMP/through.yaml"
start_proxyd -c "$TMP/through.yaml"
assert_equal "$left" "$(pins through)" "what is left"
clear_all
assert_nothing_pinned
stop_proxyd

start_through 127.0.0.1
start_ends 127.0.0.1 "$BACKEND" 3 --front "$FRONT"
talk_through 6
clear_all || fail "--clear fails beside a proxyd that is at work"
in_lane 6 || fail "--clear has taken sockets of a proxyd that is at work"
ends talk 100
end "$ENDS_PID"
stop_through
