#!/bin/bash
# memcached behind proxyd: its text protocol, pipelined, with values from a byte to 900 KB.
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need memcached base64

free_port BACKEND
free_port FRONT
VALUES=400

# As `set` needs it and as `get` answers it: the same but for the command and the flags' position.
write_traffic() {
	local i size
	head -c 1M /dev/urandom | base64 -w0 >"$TMP/text"
	for ((i = 1; i <= VALUES; i++)); do
		size=$((i % 40 == 0 ? 900000 : 1 + i * i % 5000))
		printf 'set key-%d 0 0 %d\r\n' "$i" "$size" >>"$TMP/sets"
		head -c "$size" "$TMP/text" | tee -a "$TMP/sets" >"$TMP/value"
		printf '\r\n' >>"$TMP/sets"
		printf 'STORED\r\n' >>"$TMP/stored"
		printf 'get key-%d\r\n' "$i" >>"$TMP/gets"
		{
			printf 'VALUE key-%d 0 %d\r\n' "$i" "$size"
			cat "$TMP/value"
			printf '\r\nEND\r\n'
		} >>"$TMP/values"
	done
}

# Sends a file of commands and a `quit`, at once, while it reads the answers until the end.
converse() { # COMMANDS ANSWERS
	local connection sender
	exec {connection}<>"/dev/tcp/127.0.0.1/$FRONT"
	cat "$1" <(printf 'quit\r\n') >&"$connection" &
	sender=$!
	timeout 60 cat <&"$connection" >"$2" || fail "memcached does not close after quit"
	wait "$sender" || fail "sending $(basename "$1")"
	exec {connection}>&-
}

user=()
((EUID)) || user=(-u nobody)
spawn memcached memcached "${user[@]}" -l 127.0.0.1 -p "$BACKEND" -U 0 -m 64
wait_listening "$BACKEND" memcached
start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND" --lane "$LANE"
write_traffic
for round in 1 2 3; do
	converse "$TMP/sets" "$TMP/stored.back"
	assert_same_file "$TMP/stored" "$TMP/stored.back" "round $round: answers to set"
	converse "$TMP/gets" "$TMP/values.back"
	assert_same_file "$TMP/values" "$TMP/values.back" "round $round: answers to get"
done
assert_carried $((3 * 2 * $(stat -c %s "$TMP/values") * 9 / 10))
assert_no_active_flows
stop_proxyd
