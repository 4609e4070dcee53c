#!/bin/bash
# Connections with the same addresses and ports in two network namespaces: each is accelerated, and
# nothing crosses.
. "$(dirname "$0")/lib.sh"
need ip

begin_direct
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
	spawn "ends-$i" "${INSIDE[@]}" ip netns exec "${NAMES[i]}" bash -c \
		"'$TMP/words' | exec '$HERE/ends.py' 127.0.0.1 7000 4 --client-port 7100 --seed $((i + 1))"
	PIDS[i]=$SPAWNED_PID
done

start_accelerate --interval 20ms --any-program --existing
wait_sockets in_lane 16
touch "$TMP/go"
say "$(direct_status '[.connections[] | .local] | unique | length') addresses in the lane, each twice"
for i in 0 1; do
	status=0
	wait "${PIDS[i]}" || status=$?
	forget "${PIDS[i]}"
	((status == 0)) || fail "namespace $i: $(cat "$TMP/ends-$i.log")"
	grep -q '^half' "$TMP/ends-$i.log" || fail "namespace $i: $(cat "$TMP/ends-$i.log")"
	grep -q '^drain 0$' "$TMP/ends-$i.log" || fail "namespace $i: bytes are missing"
done
assert_number "$(direct_status .bytes.direct)" -ge $((2 * 4 * 2 * 500 * 64)) "bytes that went direct"
stop_accelerate
