#!/bin/bash
# Upstreams that refuse or do not answer: the client is closed promptly, and the log says why.
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need python3

free_port NOBODY # nothing listens there
free_port SILENT # SYNs are dropped there
free_port GOOD
free_port FRONT
PEER=("python3" "$ROOT/tests/peer.py")

# The client connects, sends BYTES and is closed after at least MIN milliseconds.
client_closed() { # BYTES MIN
	local how ms
	read -r how ms < <(timeout 90 "${PEER[@]}" closed "$FRONT" "$1")
	[[ $how == end || $how == reset ]] || fail "the client was not closed but got '$how'"
	assert_number "$ms" -ge "$2" "milliseconds until the client was closed"
}

test_refused() {
	start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$NOBODY" --lane "$LANE" \
		--connect-timeout 1h
	client_closed 0 0
	client_closed 100 0
	client_closed 1000000 0
	grep -q "127.0.0.1:$NOBODY.*[Cc]onnection refused" "$PROXYD_LOG" || fail "the log has no reason"
	assert_number "$(proxyd_status .errors.connect_refused)" -ge 3 "refused connects counted"
	assert_no_active_flows
	stop_proxyd
}

test_silent() {
	start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$SILENT" --lane "$LANE" \
		--connect-timeout 700ms
	client_closed 0 500
	client_closed 100 500
	grep -qE "127.0.0.1:$SILENT.*(timed out|timeout)" "$PROXYD_LOG" || fail "the log has no reason"
	assert_number "$(proxyd_status .errors.connect_timeout)" -ge 2 "timeouts counted"
	assert_no_active_flows
	stop_proxyd
}

one_flow() { [[ $(proxyd_status .flows.active) == 1 ]]; }

# A client that aborts takes its flow with it; one that half-closes does not, see below.
test_client_leaves_first() {
	start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$SILENT" --lane "$LANE" \
		--connect-timeout 1h
	spawn reset "${PEER[@]}" reset "$FRONT" "$TMP/go"
	wait_until 60 one_flow || fail "no flow"
	touch "$TMP/go"
	assert_no_active_flows
	stop_proxyd
}

# The next endpoint is taken when one refuses or stays silent.
test_next_endpoint() {
	local i
	start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$NOBODY" \
		--upstream "127.0.0.1:$SILENT" --upstream "127.0.0.1:$GOOD" --lane "$LANE" \
		--connect-timeout 700ms
	for i in 1 2 3 4; do
		timeout 60 "${PEER[@]}" send "$FRONT" 0.1 >"$TMP/send.log" ||
			fail "connection $i: $(cat "$TMP/send.log")"
		# Data and FIN are there before the upstream is.
		timeout 60 "${PEER[@]}" half-close "$FRONT" >"$TMP/send.log" ||
			fail "half-closed connection $i: $(cat "$TMP/send.log")"
	done
	assert_no_active_flows
	stop_proxyd
}

spawn silent "${PEER[@]}" full "$SILENT"
wait_until 60 grep -q full "$TMP/silent.log" || fail "no silent server"
spawn echo "${PEER[@]}" echo "$GOOD"
wait_listening "$GOOD" "the echo server"
test_refused
test_silent
test_client_leaves_first
test_next_endpoint
