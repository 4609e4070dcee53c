#!/bin/bash
# Flows with the same addresses and ports in two network namespaces, each through a proxyd of its own
# that pins in the same place: each goes direct, and nothing crosses.
. "$(dirname "$0")/through_lib.sh"

begin_through
add_twins
for i in 0 1; do
	PROXYD_PREFIX=(ip netns exec "${TWINS[i]}")
	CONTROL=$TMP/control-$i.sock
	start_through 127.0.0.1
	PROXIES[i]=$PROXYD_PID
	start_twin "$i" "$BACKEND" --front "$FRONT"
done
for i in 0 1; do
	CONTROL=$TMP/control-$i.sock
	wait_until 60 in_lane 8 || fail "namespace $i: $(proxyd_status .direct_lane)"
done
end_twins
for i in 0 1; do
	CONTROL=$TMP/control-$i.sock
	assert_number "$(proxyd_status .bytes.direct)" -ge "$TWIN_DIRECT" "bytes that went direct"
	PROXYD_PID=${PROXIES[i]}
	BPF_IDS=() # of the other one
	stop_proxyd
done
assert_nothing_pinned
say "4 flows in each of two namespaces, of the same addresses and ports: all direct, none crossed"
