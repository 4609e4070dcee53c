#!/bin/bash
# Connections with the same addresses and ports in two network namespaces: each is accelerated, and
# nothing crosses.
. "$(dirname "$0")/lib.sh"
need ip

begin_direct
NAMES=("sidelane-$$-a" "sidelane-$$-b")
drop_namespaces() {
	local status=$? name
	for name in "${NAMES[@]}"; do
		ip netns delete "$name" 2>/dev/null || true
	done
	(exit "$status")
	end_direct
}
trap drop_namespaces EXIT

# Everybody has the same four tuples, but other bytes.
TURNS=2000
((QUICK == 0)) || TURNS=400
for i in 0 1; do
	ip netns add "${NAMES[i]}"
	ip -n "${NAMES[i]}" link set lo up
	spawn "ends-$i" "${INSIDE[@]}" ip netns exec "${NAMES[i]}" bash -c \
		"printf 'talk %d 1\nsend 300000\ndrain\ntalk 50\nhalf 100000\n' $TURNS |
			exec '$HERE/ends.py' 127.0.0.1 7000 4 --client-port 7100 --seed $((i + 1))"
	PIDS[i]=$SPAWNED_PID
done

start_accelerate --interval 20ms --any-program --existing
wait_sockets in_lane 16
say "$(direct_status '[.connections[] | .local] | unique | length') addresses in the lane, each twice"
for i in 0 1; do
	status=0
	wait "${PIDS[i]}" || status=$?
	forget "${PIDS[i]}"
	((status == 0)) || fail "namespace $i: $(cat "$TMP/ends-$i.log")"
	grep -q '^half' "$TMP/ends-$i.log" || fail "namespace $i: $(cat "$TMP/ends-$i.log")"
	grep -q '^drain 0$' "$TMP/ends-$i.log" || fail "namespace $i: bytes are missing"
done
assert_number "$(direct_status .bytes.direct)" -gt $((2 * 4 * TURNS * 64)) "bytes that went direct"
stop_accelerate
