#!/bin/bash
# Flows with the same addresses and ports in two network namespaces, each through a proxyd of its own
# that pins in the same place: each goes direct, and nothing crosses.
. "$(dirname "$0")/through_lib.sh"

begin_through
NAMES=("sidelane-$$-a" "sidelane-$$-b")
drop_namespaces() {
	local status=$? name
	set +e # the status must reach the next one
	for name in "${NAMES[@]}"; do
		ip netns delete "$name" 2>/dev/null || true
	done
	(exit "$status")
	end_direct
}
trap drop_namespaces EXIT

# Everybody has the same four tuples, but other bytes. They talk until all are in the lane.
cat >"$TMP/words" <<-END
	#!/bin/bash
	until [[ -e $TMP/go ]]; do
	    echo talk 30 1
	    sleep 0.03
	done
	printf '%s\n' 'talk 500' 'send 300000' 'drain' 'talk 50' 'half 100000'
END
chmod +x "$TMP/words"
for i in 0 1; do
	ip netns add "${NAMES[i]}"
	ip -n "${NAMES[i]}" link set lo up
	PROXYD_PREFIX=(ip netns exec "${NAMES[i]}")
	CONTROL=$TMP/control-$i.sock
	start_through 127.0.0.1
	PROXIES[i]=$PROXYD_PID
	spawn "ends-$i" ip netns exec "${NAMES[i]}" bash -c \
		"'$TMP/words' | exec '$HERE/ends.py' 127.0.0.1 $BACKEND 4 --front $FRONT --client-port 7100 --seed $((i + 1))"
	PIDS[i]=$SPAWNED_PID
done
for i in 0 1; do
	CONTROL=$TMP/control-$i.sock
	wait_until 60 in_lane 8 || fail "namespace $i: $(proxyd_status .direct_lane)"
done
touch "$TMP/go"
for i in 0 1; do
	status=0
	wait "${PIDS[i]}" || status=$?
	forget "${PIDS[i]}"
	((status == 0)) || fail "namespace $i: $(cat "$TMP/ends-$i.log")"
	grep -q '^drain 0$' "$TMP/ends-$i.log" || fail "namespace $i: bytes are missing"
	grep -q '^half' "$TMP/ends-$i.log" || fail "namespace $i: $(cat "$TMP/ends-$i.log")"
	CONTROL=$TMP/control-$i.sock
	assert_number "$(proxyd_status .bytes.direct)" -ge $((4 * 2 * 500 * 64)) "bytes that went direct"
	PROXYD_PID=${PROXIES[i]}
	BPF_IDS=() # of the other one
	stop_proxyd
done
assert_nothing_pinned
say "4 flows in each of two namespaces, of the same addresses and ports: all direct, none crossed"
