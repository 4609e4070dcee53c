#!/bin/bash
# What the commands that ask a running proxyd say when it refuses, or does not answer.
. "$(dirname "$0")/../lib.sh"
need python3

free_port BACKEND
free_port FRONT
CONFIG=$TMP/proxyd.yaml

write_config() {
	printf '%s\n' "listeners: 127.0.0.1:$FRONT" "upstreams: {name: web, endpoints: 127.0.0.1:$BACKEND}" \
		"routes: {upstream: web}" >"$CONFIG"
}

refused() { # STATUS "WORD / WORD..." ARGS...
	local expected=$1 words=$2 status=0 word
	shift 2
	timeout 60 "$PROXYD" "$@" --control "$CONTROL" >"$TMP/out" 2>"$TMP/error" || status=$?
	assert_equal "$expected" "$status" "exit status of: proxyd $*"
	assert_equal 1 "$(wc -l <"$TMP/error")" "lines on standard error of: proxyd $*"
	while read -r word; do
		grep -qF -e "$word" "$TMP/error" || fail "not a word of '$word' about: proxyd $*: $(cat "$TMP/error")"
	done <<<"${words// \/ /$'\n'}"
}

said_twice() { (($(grep -c 'running config stays' "$PROXYD_LOG") == 2)); }
logged() { grep -qF -e "$1" "$PROXYD_LOG"; }

# A file that is gone is not the same as none.
test_reload_without_file() {
	start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND" --lane relay
	refused 1 "started without -c" reload
	stop_proxyd
	write_config
	start_proxyd -c "$CONFIG" --lane relay
	rm "$CONFIG"
	refused 1 "running config stays / log" reload
	logged "$CONFIG: cannot read it: No such file" || fail "the log does not say what is wrong"
	kill -HUP "$PROXYD_PID"
	wait_until 60 said_twice || fail "SIGHUP does not say what is wrong"
	! logged "started without -c" || fail "the log says that there was no -c"
	stop_proxyd
}

# What another program writes is read at the start. At a reload nobody may write it any more, and to wait for somebody
# would be to answer nobody, not even SIGTERM.
test_reload_from_a_pipe() {
	local pipe writer
	write_config
	exec {pipe}< <(cat "$CONFIG")
	start_proxyd -c "/dev/fd/$pipe" --lane relay
	exec {pipe}<&-
	refused 1 "running config stays / log" reload
	logged "/dev/fd/$pipe: it is no file" || fail "the log does not say that it is no file"
	stop_proxyd
	mkfifo "$TMP/fifo"
	spawn writer dd if="$CONFIG" of="$TMP/fifo"
	writer=$SPAWNED_PID
	start_proxyd -c "$TMP/fifo" --lane relay
	wait "$writer" || fail "nobody has read what was written"
	forget "$writer"
	kill -HUP "$PROXYD_PID"
	wait_until 60 logged "$TMP/fifo: it is no file" || fail "SIGHUP does not say that it is no file"
	stop_proxyd
}

# It says so, rather than send to a log that is silent about it.
test_reload_while_it_stops() {
	local client
	write_config
	start_proxyd -c "$CONFIG" --lane relay
	exec {client}<>"/dev/tcp/127.0.0.1/$FRONT"
	wait_until 60 has_flow || fail "no flow"
	kill -TERM "$PROXYD_PID"
	wait_until 60 logged "accepting no more" || fail "it does not stop"
	refused 1 "stopping" reload
	kill -HUP "$PROXYD_PID"
	wait_until 60 logged "SIGHUP: nothing is read again" || fail "the log is silent about SIGHUP"
	exec {client}>&-
	proxyd_ended 20
}

# A name that no JSON holds, and one who does not answer: neither is for want of memory, or of a proxyd.
test_no_answer() {
	start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND" --lane relay
	refused 5 "UTF-8" drain $'web/\xff'
	refused 5 "UTF-8" connections --listener $'\xff'
	kill -STOP "$PROXYD_PID"
	refused 5 "$CONTROL / within 5 s / busy" status
	kill -CONT "$PROXYD_PID"
	stop_proxyd
	refused 5 "$CONTROL / No such file / running" reload
}

has_flow() { [[ $(proxyd_status .flows.active) == 1 ]]; }

spawn echo python3 "$ROOT/tests/peer.py" echo "$BACKEND"
wait_listening "$BACKEND" "the echo server"
test_reload_without_file
test_reload_from_a_pipe
test_reload_while_it_stops
test_no_answer
