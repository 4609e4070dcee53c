#!/bin/bash
# Who is let in, how many at once and how often; what becomes of the others.
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need python3

CONFIG=$TMP/config.yaml
PROGRAM=(python3 "$ROOT/tests/policy/limits.py")
free_port BACK
listeners=''

add() { # NAME ADDRESS KEYS
	free_port "$1"
	listeners+="  - {name: $1, address: \"$2:${!1}\", $3}"$'\n'
}

write_config() { # WORKERS
	printf 'lane: %s\nworkers: %s\nlisteners:\n%s' "$LANE" "$1" "$listeners"
	printf 'routes: {upstream: echo}\nupstreams: {name: echo, endpoints: "127.0.0.1:%s"}\n' "$BACK"
}

turned_away() { proxyd_status ".listeners.$1.turned_away.$2"; } # LISTENER WHY

run() { # SCENARIO LISTENER [ARGUMENT...]
	timeout 100 "${PROGRAM[@]}" "$1" "${!2}" "${@:3}" || fail "$1"
}

BY_ADDRESS='allow: [127.0.0.0/12, "2001:db8::/32"], deny: 127.9.0.0/16'
add ACCESS 0.0.0.0 "$BY_ADDRESS"
add ACCESS6 '[::]' "$BY_ADDRESS"
add REJECT 0.0.0.0 'limits: {max_flows: 3}'
add QUEUE 0.0.0.0 'limits: {max_flows: 2, action: queue, queue_timeout: 1m}'
add IMPATIENT 0.0.0.0 'limits: {max_flows: 2, action: queue, queue_timeout: 700ms}'
add SOURCE 0.0.0.0 'limits: {max_flows_per_source: 2}'
add RATE 0.0.0.0 'limits: {rate_per_source: 5, rate_burst: 5}'
add RATE_QUEUE 0.0.0.0 'limits: {rate_per_source: 5, rate_burst: 5, action: queue, queue_timeout: 1m}'
add RELOAD 0.0.0.0 'limits: {max_flows: 2, action: queue, queue_timeout: 1m}'
write_config 2 >"$CONFIG"

spawn echo python3 "$ROOT/tests/peer.py" echo "$BACK"
wait_listening "$BACK" "the echo server"
start_proxyd -c "$CONFIG"

run access ACCESS "$ACCESS6"
assert_equal 2 "$(turned_away ACCESS denied)" "clients denied"
assert_equal 2 "$(turned_away ACCESS6 denied)" "clients denied, IPv6"
run reject REJECT
assert_number "$(turned_away REJECT flows)" -ge 1 "clients turned away by max_flows"
run queue QUEUE 2
assert_equal 0 "$(turned_away QUEUE flows)" "clients turned away from the queue"
run queue_timeout IMPATIENT 700
assert_equal 1 "$(turned_away IMPATIENT flows)" "clients who waited in vain"
assert_equal 1 "$(proxyd_status .errors.queue_timeout)" "queue timeouts"
run per_source SOURCE
assert_number "$(turned_away SOURCE source_flows)" -ge 1 "clients turned away by max_flows_per_source"
run rate RATE
assert_number "$(turned_away RATE source_rate)" -ge 1 "clients turned away by rate_per_source"
run rate_queue RATE_QUEUE
assert_equal 0 "$(turned_away RATE_QUEUE source_rate)" "clients turned away from the queue"

# A reload lets in who waits, as soon as there is room.
coproc HOLD { "${PROGRAM[@]}" hold "$RELOAD" 5; }
# shellcheck disable=SC2153 # set by coproc
hold=${HOLD[1]} held=${HOLD[0]} hold_pid=$HOLD_PID
SPAWNED+=("$hold_pid hold")
read -r -t 60 _ <&"$held" || fail "no clients that stay"
let_in() { [[ $(proxyd_status .listeners.RELOAD.flows) == "$1" ]]; }
wait_until 60 let_in 2 || fail "not two of five are let in"
sed -i "/name: RELOAD/s/max_flows: 2/max_flows: 4/" "$CONFIG"
"$PROXYD" reload --control "$CONTROL" >"$TMP/reload.log" || fail "reload: $(cat "$TMP/reload.log")"
wait_until 60 let_in 4 || fail "who waits is not let in by a reload"
eval "exec $hold>&-"
read -r -t 60 fates <&"$held" || fail "the clients that stay do not say what became of them"
assert_equal "4" "$(tr ' ' '\n' <<<"$fates" | grep -c served)" "clients served after the reload: $fates"

wait "$hold_pid" 2>/dev/null || true
assert_no_active_flows
for listener in ACCESS REJECT QUEUE SOURCE RATE; do
	assert_equal 0 "$(proxyd_status ".listeners.$listener.flows")" "flows counted at $listener"
done
stop_proxyd

# One worker keeps the order of who waits.
write_config 1 >"$CONFIG"
start_proxyd -c "$CONFIG"
run queue QUEUE 1
stop_proxyd
