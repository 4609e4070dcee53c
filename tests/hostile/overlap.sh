#!/bin/bash
# Segments that overlap, partly or wholly, in and out of order, in either direction: the stream that
# comes out is the one that went in.
#
#   overlap.sh kernel|relay|auto
#
#   SEED   random by default, printed
if [[ -z ${IN_NAMESPACE-} && $EUID == 0 ]]; then
	# shellcheck disable=SC2016 # expanded by the inner shell
	IN_NAMESPACE=1 exec unshare --net bash -c 'ip link set lo up && exec "$0" "$@"' "$0" "$@"
fi
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need python3 ip
need_root
[[ -c /dev/net/tun ]] || skip "there is no /dev/net/tun"

FLOWS=60
((QUICK == 0)) || FLOWS=10
SEED=${SEED:-$SRANDOM}
free_port FRONT
free_port BACK

overlap() { # up|down UPSTREAM
	start_proxyd --listen "[::]:$FRONT" --upstream "$2" --lane "$LANE"
	timeout 100 python3 "$ROOT/tests/hostile/overlap.py" "$1" "$FRONT" "$BACK" "$LANE" "$FLOWS" \
		"$SEED" >"$TMP/overlap.log" 2>&1 || fail "$1: $(cat "$TMP/overlap.log")"
	say "$1, seed $SEED: $(cat "$TMP/overlap.log"); bytes by the kernel lane $(proxyd_status .bytes.kernel)," \
		"by the relay $(proxyd_status .bytes.relay)"
	[[ $LANE == relay ]] || assert_number "$(proxyd_status .bytes.kernel)" -gt 10000 "bytes by the kernel lane"
	assert_equal 0 "$(proxyd_status '.errors | add')" "errors"
	assert_no_active_flows
	stop_proxyd
}

# Cutting it off fails as it does without memory. The flow must end there, on both sides.
huge() {
	local expected=reset
	[[ $LANE == kernel ]] || expected=whole
	sysctl -qw net.ipv4.tcp_rmem='4096 6000000 12000000'
	start_proxyd --listen "[::]:$FRONT" --upstream "127.0.0.1:$BACK" --lane "$LANE"
	timeout 100 python3 "$ROOT/tests/hostile/overlap.py" huge "$FRONT" "$BACK" "$LANE" 1 "$SEED" \
		>"$TMP/huge.log" 2>&1 || fail "huge: $(cat "$TMP/huge.log")"
	assert_equal "$expected" "$(cat "$TMP/huge.log")" "what became of a stream with a huge overlap"
	[[ $LANE != kernel ]] || assert_equal 1 "$(proxyd_status .errors.untrimmed)" "flows that could not be trimmed"
	say "huge, seed $SEED: $expected"
	assert_no_active_flows
	stop_proxyd
}

overlap up "127.0.0.1:$BACK"
overlap down "192.0.2.2:$BACK"
huge
