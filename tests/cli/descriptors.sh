#!/bin/bash
# More clients than there are descriptors for: they wait until others have gone, and all are served.
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need python3 prlimit

LIMIT=200
CLIENTS=150
free_port BACKEND
free_port FRONT
RUN=(--listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND" --lane "$LANE")

write_config() { # LISTENERS BESIDE
	local i
	{
		printf '%s\n' "lane: $LANE" "workers: 2" "upstreams: {name: web, endpoints: 127.0.0.1:$BACKEND}" \
			"routes: {upstream: web}" "listeners:" "- 127.0.0.1:$FRONT"
		for ((i = 2; i < $1 + 2; i++)); do
			echo "- 127.0.0.$i:$FRONT"
		done
	} >"$TMP/proxyd.yaml"
}

# Of what other listeners take, which a reload may bring, there is none left for flows.
test_reload() {
	local most
	write_config 0
	start_proxyd -c "$TMP/proxyd.yaml"
	most=$(proxyd_status .flows.max)
	write_config 30
	"$PROXYD" reload --control "$CONTROL" || fail "a reload was refused"
	assert_equal "$((most - 30))" "$(proxyd_status .flows.max)" "flows that there is room for beside 60 sockets more"
	timeout 60 python3 "$ROOT/tests/peer.py" crowd "$FRONT" "$CLIENTS" >"$TMP/crowd.log" 2>&1 ||
		fail "not all clients are served after a reload"
	assert_equal "$CLIENTS" "$(proxyd_status .flows.total)" "flows"
	assert_equal 0 "$(proxyd_status '.errors | add')" "errors"
	assert_no_active_flows
	write_config 0
	"$PROXYD" reload --control "$CONTROL" || fail "a reload was refused"
	assert_equal "$most" "$(proxyd_status .flows.max)" "flows that there is room for again"
	stop_proxyd
}

test_all_are_served() {
	local most
	PROXYD_PREFIX=(prlimit --nofile="$LIMIT:$LIMIT")
	start_proxyd "${RUN[@]}" --workers 2
	timeout 60 python3 "$ROOT/tests/peer.py" crowd "$FRONT" "$CLIENTS" >"$TMP/crowd.log" 2>&1 ||
		fail "not all clients are served"
	most=$(sed -n 's/^answered //p' "$TMP/crowd.log" | sort -n | tail -n 1)
	say "$(grep -c '^answered' "$TMP/crowd.log") crowds, the largest of $most"
	assert_number "$most" -ge $((LIMIT / 5)) "flows at once of $LIMIT descriptors"
	assert_number "$most" -lt $((LIMIT / 2)) "flows at once: the limit was not met"
	assert_equal "$CLIENTS" "$(proxyd_status .flows.total)" "flows"
	assert_equal 0 "$(proxyd_status '.errors | add')" "errors"
	assert_equal 1 "$(grep -c 'no descriptors for more' "$PROXYD_LOG")" "lines that say so"
	assert_no_active_flows
	stop_proxyd
}

# Clients that still wait when proxyd is told to stop: it must not wait for them.
test_drain_while_full() {
	start_proxyd "${RUN[@]}" --workers 2 --drain-timeout 700ms
	spawn crowd python3 "$ROOT/tests/peer.py" crowd "$FRONT" "$CLIENTS"
	wait_until 60 grep -q 'no descriptors for more' "$PROXYD_LOG" || fail "it is not full"
	kill -TERM "$PROXYD_PID"
	proxyd_ended 20
	assert_equal 0 "$PROXYD_EXIT" "exit status"
}

test_too_low() {
	local status=0
	timeout 60 prlimit --nofile=45:45 "$PROXYD" run --control "$CONTROL" "${RUN[@]}" --workers 2 \
		>"$TMP/refused.log" 2>&1 || status=$?
	assert_equal 1 "$status" "exit status with too few descriptors"
	grep -q 'limit of open files' "$TMP/refused.log" || fail "it does not say what is too low"
}

spawn echo python3 "$ROOT/tests/peer.py" echo "$BACKEND"
wait_listening "$BACKEND" "the echo server"
test_all_are_served
[[ $LANE != relay ]] || test_reload
test_drain_while_full
PROXYD_PREFIX=()
[[ $LANE != relay ]] || test_too_low
