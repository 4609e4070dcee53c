#!/bin/bash
# OpenSSH behind proxyd: scp both ways, many small commands, output of an exact length.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../sshd.sh"
take_lane "$@"
need_sshd
need scp

free_port BACKEND
free_port FRONT
SIZE=50M
((QUICK == 0)) || SIZE=10M

test_scp() {
	head -c "$SIZE" /dev/urandom >"$TMP/original"
	timeout 60 scp -q -F "$TMP/ssh.conf" "$TMP/original" "proxyd:$TMP/uploaded"
	assert_same_file "$TMP/original" "$TMP/uploaded" "scp up"
	timeout 60 scp -q -F "$TMP/ssh.conf" "proxyd:$TMP/uploaded" "$TMP/downloaded"
	assert_same_file "$TMP/original" "$TMP/downloaded" "scp down"
}

# Both directions at once in one flow.
test_round_trip() {
	remote cat <"$TMP/original" >"$TMP/echoed"
	assert_same_file "$TMP/original" "$TMP/echoed" "there and back"
}

# As somebody at a prompt would: the next command leaves when the answer to the last has come.
test_interactive() {
	local i answer
	coproc SHELL_THERE { remote bash; }
	for i in {1..300}; do
		echo "echo answer-\$(($i * 2))" >&"${SHELL_THERE[1]}"
		read -r -t 60 answer <&"${SHELL_THERE[0]}" || fail "no answer to command $i"
		assert_equal "answer-$((i * 2))" "$answer" "answer to command $i"
	done
	echo 'exit 42' >&"${SHELL_THERE[1]}"
	local status=0
	wait "$SHELL_THERE_PID" || status=$?
	assert_equal 42 "$status" "exit status of the shell at the far end"
}

test_many_connections() {
	local i
	for i in {1..10}; do
		assert_equal "$i" "$(remote echo "$i")" "output of connection $i"
	done
}

start_sshd "$BACKEND" "$FRONT"
start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND" --lane "$LANE"
test_scp
test_round_trip
assert_carried $((4 * $(stat -c %s "$TMP/original")))
test_interactive
test_many_connections
assert_no_active_flows
stop_proxyd
