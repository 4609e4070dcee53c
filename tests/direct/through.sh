#!/bin/bash
# The direct lane through the proxy: dialogues enter it by themselves and every byte of them is counted;
# idle timeouts hold; what may not be paired is not; readers that do not read hold the sender; what a
# proxyd that was killed leaves behind is read, and the next one clears it.
. "$(dirname "$0")/through_lib.sh"
PAIRS=200
((QUICK == 0)) || PAIRS=20
WINDOW=65536

direct_bytes() { proxyd_status .bytes.direct; }
carried() { proxyd_status '.bytes | .relay + .kernel'; }

# Some turns of 64 bytes each way that go direct, but for the few messages that meet the scan at their
# receiver's socket; each byte is counted once.
talk_direct() { # FLOWS WHAT TURNS [PAUSE]
	local bytes=$(($1 * 2 * $3 * 64)) direct relayed
	direct=$(direct_bytes)
	relayed=$(carried)
	ends talk "${@:3}"
	# Bytes that are relayed may arrive before their worker has counted them.
	wait_until 60 are_counted $((direct + relayed + bytes)) ||
		fail "$(($(direct_bytes) + $(carried) - direct - relayed)) of $bytes bytes are counted, $2"
	assert_most "$bytes" $(($(direct_bytes) - direct)) "bytes that went direct, $2"
}
are_counted() { [[ $(proxyd_status '.bytes | .direct + .relay + .kernel') == "$1" ]]; } # BYTES

# Leaves 20000 bytes in the direct queue of each server, and none in proxyd: as send_direct(). FLOWS
leave_direct() {
	local before end=$((SECONDS + 60))
	while ((SECONDS < end)); do
		before=$(direct_bytes)
		ends send 20000
		(($(direct_bytes) - before < $1 * 20000)) || return 0
		ends drain
		assert_equal 0 "$ANSWER" "bytes that are missing"
		talk_through $((2 * $1))
	done
	fail "not all that is sent goes direct: $(proxyd_status .direct_lane)"
}

# Those of the sockets that an operator is shown. JQ-FILTER
accelerate_lists() {
	"$PROXYD" accelerate --status --connections --json --control "$CONTROL" --pin "$PIN" |
		jq "[.connections[] | $1] | length"
}

# Flows of which that is so. JQ-FILTER
flows() { "$PROXYD" connections --json --control "$CONTROL" | jq "[.connections[] | select($1)] | length"; }

carry_more_up() { [[ $(flows '.bytes.up.direct > .bytes.down.direct') == 5 ]]; }

need prlimit
begin_through

# ---- a dialogue, IPv4 and IPv6, each lane beneath ----
for host in 127.0.0.1 ::1; do
	for lane in relay auto; do
		ACCESS_LOG=$TMP/access.log start_through "$host" --lane "$lane"
		start_ends "$host" "$BACKEND" 5 --front "$FRONT"
		ends talk 5
		assert_equal 0 "$(proxyd_status .direct_lane.offered)" "flows offered after five turns"
		talk_through 10
		talk_direct 5 "$host, $lane" 100
		assert_equal 10 "$(accelerate_lists 'select(.reason == "in_lane" and .direct_bytes >= 1000)')" \
			"sockets of the lane that are listed"
		assert_equal 5 "$(flows '.lanes == {up: "direct", down: "direct"} and
			.direct == {client: "in_lane", server: "in_lane"} and .bytes.up.direct >= 1000 and
			.bytes.down.direct >= 1000 and .idle_ms <= .age_ms')" "flows of the lane that are listed"
		assert_equal "$(direct_bytes)" "$("$PROXYD" connections --json --control "$CONTROL" |
			jq '[.connections[].bytes.direct] | add')" "direct bytes of all flows"
		# Behind one that met the scan all of them go by TCP.
		for ((i = 0; i < 100; i++)); do
			ends drip 100
			ends drain
			! carry_more_up || break
		done
		carry_more_up || fail "not all have carried more up: $("$PROXYD" connections --control "$CONTROL")"
		# More than the window: the rest goes by TCP, behind it, and then direct again.
		ends send 300000
		ends drain
		assert_equal 0 "$ANSWER" "bytes that are missing after 300000 at once"
		ends talk 100
		ends half 200000
		end "$ENDS_PID"
		assert_no_active_flows
		expected=$(direct_bytes)
		stop_through
		assert_equal "5 $expected" "$(jq -s -r 'map(select(.end | startswith("closed_"))) |
			"\(length) \(map(select(.bytes.up.direct >= 1000 and .bytes.down.direct >= 1000) | .bytes.direct) | add)"' \
			"$TMP/access.log")" "lines of the access log, and the direct bytes in them"
		rm "$TMP/access.log"
	done
done
say "dialogues of 5 flows over IPv4 and IPv6, relay and auto beneath: all direct, all counted"

# ---- behind PROXY headers, that either side has and the other has not ----
talk_behind_headers() { # OPTIONS OF THE ENDS...
	start_through 127.0.0.1 --lane "$lane"
	start_ends 127.0.0.1 "$BACKEND" 5 --front "$FRONT" "$@"
	talk_through 10
	talk_direct 5 "$lane, $*" 100
	ends send 300000
	ends drain
	assert_equal 0 "$ANSWER" "bytes that are missing, $lane, $*"
	ends talk 100
	ends half 200000
	end "$ENDS_PID"
	assert_no_active_flows
	stop_through
}
for lane in kernel relay auto; do
	PROXY_PROTOCOL=v1 talk_behind_headers --header
	FROM=127.0.0.1 talk_behind_headers --send-header
	FROM=127.0.0.1 PROXY_PROTOCOL=v1 talk_behind_headers --send-header --header
done
say "the same behind PROXY headers, sent, taken, and both"

# ---- the idle timeout sees direct bytes, and their absence ----
IDLE_TIMEOUT=8s start_through 127.0.0.1
start_ends 127.0.0.1 "$BACKEND" 2 --front "$FRONT"
talk_through 4
talk_direct 2 "for longer than the idle timeout" 170 60
assert_equal 2 "$(proxyd_status .flows.active)" "flows that talk for longer than their idle timeout"
wait_until 60 no_active_flows || fail "idle flows are not closed"
assert_equal 2 "$(proxyd_status .errors.idle_timeout)" "flows closed for idleness"
end "$ENDS_PID"
stop_through
say "the idle timeout goes by direct bytes, too"

# ---- a scan that fails is not the last one ----
says() { wait_until 60 grep -q "$1" "$PROXYD_LOG" || fail "it does not say '$1': $(cat "$PROXYD_LOG")"; } # PATTERN
start_through 127.0.0.1
start_ends 127.0.0.1 "$BACKEND" 2 --front "$FRONT"
talk_through 4
LIMIT=$(prlimit --pid "$PROXYD_PID" --nofile --output SOFT --noheadings | tr -d " ")
prlimit --pid "$PROXYD_PID" --nofile=5:
says 'cannot visit the sockets: Too many open files'
prlimit --pid "$PROXYD_PID" --nofile="$LIMIT":
says 'can be visited again'
ends talk 100
end "$ENDS_PID"
start_ends 127.0.0.1 "$BACKEND" 3 --front "$FRONT"
talk_through 6
end "$ENDS_PID"
stop_through
say "sockets enter the lane after a scan that had no descriptor"

# ---- who may not be paired ----
tells_why() { [[ $(flows ".direct == {client: \"$1\", server: \"$1\"}") == 1 ]]; } # REASON
left_out() { # WHY REASON ARGS...
	local why=$1 reason=$2
	shift 2
	start_through 127.0.0.1
	start_ends 127.0.0.1 "$BACKEND" 1 --front "$FRONT" "$@"
	ends talk 100 10
	assert_equal 0 "$(direct_bytes)" "direct bytes, $why"
	wait_until 60 tells_why "$reason" || fail "not '$reason' of both ends: $(
		"$PROXYD" connections --control "$CONTROL")"
	ends half 100000
	end "$ENDS_PID"
	stop_through
}
PYTHON=nobody left_out "of programs that are not known" program
left_out "of blocking sockets" blocking --blocking
start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND"
assert_equal false "$(proxyd_status '.direct_lane.wanted | tostring')" "direct lane by default"
stop_proxyd
start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND" --direct-lane --pin "$TMP"
grep -q 'not a BPF file system; mount' "$PROXYD_LOG" || fail "no word of the remedy: $(cat "$PROXYD_LOG")"
assert_equal false "$(proxyd_status '.direct_lane.available | tostring')" "direct lane without bpffs"
start_ends 127.0.0.1 "$BACKEND" 1 --front "$FRONT"
ends half 100000
end "$ENDS_PID"
stop_proxyd
say "left out: unknown programs, blocking sockets, everybody by default and without a BPF file system"

# ---- readers that do not read ----
start_through 127.0.0.1
start_ends 127.0.0.1 "$BACKEND" "$PAIRS" --front "$FRONT" --buffer 200000
talk_through $((2 * PAIRS))
before=$(direct_bytes)
ends flood
DIRECT=$(($(direct_bytes) - before))
say "$PAIRS senders blocked after $ANSWER bytes at most; $((DIRECT / PAIRS)) of them direct"
assert_number "$DIRECT" -le $((PAIRS * WINDOW)) "direct bytes that nobody has read"
assert_number "$DIRECT" -gt 0 "direct bytes that nobody has read"
ends drain
assert_equal 0 "$ANSWER" "bytes that are missing"
ends talk 20
ends half 10000
end "$ENDS_PID"
stop_through

# ---- kill -9 ----
start_through 127.0.0.1
start_ends 127.0.0.1 "$BACKEND" 3 --front "$FRONT"
talk_through 6
leave_direct 3
kill -KILL "$PROXYD_PID"
wait "$PROXYD_PID" 2>/dev/null || true
forget "$PROXYD_PID"
ends drain
assert_equal 0 "$ANSWER" "bytes sent direct before the kill that are missing"
ends gone
assert_equal 6 "$ANSWER" "ends whose connection is over with their proxy"
[[ -n $(find "$PIN" -mindepth 1 -name 'sidelane-through*') ]] || fail "nothing was pinned"
start_through 127.0.0.1
ends close
end "$ENDS_PID"
start_ends 127.0.0.1 "$BACKEND" 3 --front "$FRONT"
talk_through 6
ends half 10000
end "$ENDS_PID"
stop_through
say "kill -9: what was sent is read, both ends learn of it, the next proxyd goes on and clears"
