#!/bin/bash
# iperf3 behind proxyd: bulk in either direction, one stream and four at once, over IPv4 and IPv6.
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need iperf3

free_port BACKEND
free_port FRONT
SIZE=400M
((QUICK == 0)) || SIZE=200M

# Not --bidir: its two streams are told apart by the order in which they arrive, which a proxy with
# more than one thread does not keep.
bulk() { # ADDRESS OPTIONS...
	local address=$1 result="$TMP/iperf3.json" sent received
	shift
	timeout 60 iperf3 -c "$address" -p "$FRONT" -n "$SIZE" --json "$@" >"$result" ||
		fail "iperf3 $*: $(jq -r .error "$result")"
	sent=$(jq -er .end.sum_sent.bytes "$result")
	received=$(jq -er .end.sum_received.bytes "$result")
	say "$address $*: $(jq -er '.end.sum_received.bits_per_second / 1e9 * 100 | floor / 100' "$result") Gbit/s"
	assert_number "$sent" -ge "$(numfmt --from=iec "$SIZE")" "bytes sent"
	# The receiver counts until the control connection says that the sender is done: not what is
	# still in the buffers.
	assert_number "$received" -ge $((sent / 2)) "bytes received"
	TOTAL=$((TOTAL + received))
}

TOTAL=0
spawn iperf3 iperf3 -s -B 127.0.0.1 -p "$BACKEND"
wait_listening "$BACKEND" iperf3
start_proxyd --listen "127.0.0.1:$FRONT" --listen "[::1]:$FRONT" \
	--upstream "127.0.0.1:$BACKEND" --lane "$LANE"
bulk 127.0.0.1
bulk 127.0.0.1 -R
bulk ::1 -P 4
bulk ::1 -P 4 -R
assert_carried "$TOTAL"
assert_no_active_flows
stop_proxyd
