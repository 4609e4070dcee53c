#!/bin/bash
# After thousands of connections that were reset right after the connect, or left otherwise, the maps are
# empty again: no ledger, no peer, no socket.
. "$(dirname "$0")/../lib.sh"
LANE=kernel
need_root
need_kernel_lane
need python3 bpftool

COUNT=4000
((QUICK == 0)) || COUNT=800
free_port FRONT
free_port BACK
free_port NOBODY

map_id() { # NAME
	local object
	for object in "${BPF_IDS[@]}"; do
		[[ $object != map* ]] || bpftool --json map show id "${object#* }" |
			jq -r --arg name "$1" 'select(.name == $name).id'
	done
}

entries() { bpftool --json map dump id "$1" | jq length; } # ID
empty() { [[ $(entries "$1") == 0 ]]; }                   # ID

assert_maps_empty() { # WHAT
	local name id
	for name in sockets ledgers peers; do
		id=$(map_id "$name")
		[[ -n $id ]] || fail "no map $name is found: the test is blind"
		wait_until 60 empty "$id" || fail "$1: $(entries "$id") entries are left in $name"
	done
}

# It must see what is there.
test_counting() {
	spawn echo python3 "$ROOT/tests/peer.py" echo "$NOBODY"
	wait_listening "$NOBODY" "the echo server"
	start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$NOBODY" --lane "$LANE"
	spawn hold python3 "$ROOT/tests/peer.py" hold "$FRONT"
	wait_until 60 grep -q held "$TMP/hold.log" || fail "no flow"
	assert_equal "2 2" "$(entries "$(map_id ledgers)") $(entries "$(map_id peers)")" "entries of a flow"
	assert_equal "2 0" "$(proxyd_status '"\(.enrolled) \(.not_enrolled)"')" "sockets enrolled, and not"
	end "$SPAWNED_PID"
	assert_no_active_flows
	assert_maps_empty "after a flow"
	stop_proxyd
	end "${SPAWNED[0]%% *}"
}

test_leavers() { # BACK WHAT
	start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$1" --lane "$LANE"
	timeout 60 python3 "$ROOT/tests/hostile/leftovers.py" "$FRONT" "$BACK" "$COUNT"
	assert_no_active_flows
	say "$2: $(proxyd_status .flows.total) flows, $(proxyd_status .enrolled) sockets enrolled," \
		"$(proxyd_status .not_enrolled) not"
	assert_number "$(proxyd_status .enrolled)" -ge "$COUNT" "sockets enrolled"
	assert_maps_empty "$2"
	stop_proxyd
}

test_counting
test_leavers "$BACK" "with a server"
test_leavers "$NOBODY" "with none"
