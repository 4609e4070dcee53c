#!/bin/bash
# How proxyd ends: SIGTERM lets live flows finish, a second signal does not, and after kill -9 nothing is
# attached, pinned or bound.
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need python3

free_port BACKEND
free_port FRONT
RUN=(--listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND" --lane "$LANE")
PEER=("python3" "$ROOT/tests/peer.py")

says() { grep -q "^$2" "$TMP/$1.log"; } # NAME WORD
wait_says() { wait_until 60 says "$1" "$2" || fail "$1 does not say '$2'"; }

refuses_connections() { ! (exec 3<>"/dev/tcp/127.0.0.1/$FRONT") 2>/dev/null; }

hold_a_flow() {
	spawn hold "${PEER[@]}" hold "$FRONT"
	wait_says hold held
}

assert_cut_off() {
	wait_until 60 grep -qE '^(end|reset) ' "$TMP/hold.log" || fail "the client is not cut off"
}

test_live_flow_finishes() { # SIGNAL
	start_proxyd "${RUN[@]}"
	rm -f "$TMP/go"
	spawn send "${PEER[@]}" send "$FRONT" "$TMP/go"
	wait_says send sending
	kill -"$1" "$PROXYD_PID"
	wait_until 60 refuses_connections || fail "new connections are accepted after SIG$1"
	alive "$PROXYD_PID" || fail "proxyd ended before its flow"
	assert_equal 1 "$(proxyd_status .flows.active)" "active flows while draining"
	touch "$TMP/go"
	wait_says send verified
	proxyd_ended 20
	assert_equal 0 "$PROXYD_EXIT" "exit status after SIG$1"
	assert_no_cgroup
}

test_no_flow() {
	start_proxyd "${RUN[@]}"
	kill -TERM "$PROXYD_PID"
	proxyd_ended 20
	assert_equal 0 "$PROXYD_EXIT" "exit status after SIGTERM"
	[[ ! -e $CONTROL ]] || fail "the control socket is left behind"
}

test_drain_timeout() {
	start_proxyd "${RUN[@]}" --drain-timeout 4s
	hold_a_flow
	kill -TERM "$PROXYD_PID"
	sleep 0.3
	alive "$PROXYD_PID" || fail "the flow was not given its time"
	proxyd_ended 20
	assert_equal 0 "$PROXYD_EXIT" "exit status after the drain timeout"
	assert_cut_off
	grep -q drain-timeout "$PROXYD_LOG" || fail "it is not said that flows were cut off"
}

test_second_signal() {
	start_proxyd "${RUN[@]}"
	hold_a_flow
	kill -TERM "$PROXYD_PID"
	sleep 0.5
	alive "$PROXYD_PID" || fail "the first signal cut the flow off"
	kill -TERM "$PROXYD_PID"
	proxyd_ended 20
	assert_equal 0 "$PROXYD_EXIT" "exit status after the second signal"
	assert_cut_off
	assert_no_cgroup
}

test_kill() {
	start_proxyd "${RUN[@]}"
	hold_a_flow
	spawn send "${PEER[@]}" send "$FRONT" 3
	wait_says send sending
	remember_traces
	[[ $LANE == relay ]] || ((${#BPF_IDS[@]})) || fail "no BPF object seen: the test is blind"
	kill -KILL "$PROXYD_PID"
	proxyd_ended 20
	assert_cut_off
	end "$SPAWNED_PID"
	# The port can be taken at once, although connections of the dead one are still being closed.
	start_proxyd "${RUN[@]}"
	hold_a_flow
	stop_hold
	stop_proxyd # also removes the cgroup of the dead one
}

stop_hold() { end "$SPAWNED_PID"; }

spawn echo "${PEER[@]}" echo "$BACKEND"
wait_listening "$BACKEND" "the echo server"
test_no_flow
test_live_flow_finishes TERM
test_live_flow_finishes INT
test_drain_timeout
test_second_signal
test_kill
