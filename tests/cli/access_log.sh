#!/bin/bash
# The access log: a line for each flow, how it ended, what it carried; kept through reloads; never in the
# way of a flow.
# shellcheck disable=SC2016 # $echo is jq's
. "$(dirname "$0")/../lib.sh"
need python3 jq
LOG=$TMP/access.json
PEER=("python3" "$ROOT/tests/peer.py")
PATIENCE=60

line_count() { [[ -e $LOG ]] && [[ $(wc -l <"$LOG") == "$1" ]]; } # LINES
await_lines() { wait_until "$PATIENCE" line_count "$1" || fail "not $1 lines: $(tail -c 3000 "$LOG")"; }
# The line that comes next is such a one. JQ-FILTER WHAT
LINES_SEEN=0
expect_line() {
	await_lines $((LINES_SEEN += 1))
	tail -n 1 "$LOG" | jq -e --arg echo "127.0.0.1:$BACKEND" "$1" >/dev/null || fail "$2: $(tail -n 1 "$LOG")"
}

free_port FRONT
free_port SIX
free_port REFUSED_FRONT
free_port DENIED
free_port REJECTED
free_port IDLE
free_port RETRIED
free_port SILENT_FRONT
free_port RESETS_FRONT
free_port LEAVES_FRONT
free_port BACKEND
free_port REFUSED
free_port SILENT
free_port RESETS
free_port LEAVES
write_config() { # ACCESS_LOG
	cat >"$TMP/proxyd.yaml" <<-END
		access_log: $1
		drain_timeout: 300ms
		listeners:
		  - {name: web, address: "127.0.0.1:$FRONT"}
		  - {name: six, address: "[::1]:$SIX"}
		  - {name: refused, address: "127.0.0.1:$REFUSED_FRONT"}
		  - {name: denied, address: "127.0.0.1:$DENIED", deny: 127.0.0.0/8}
		  - {name: rejected, address: "127.0.0.1:$REJECTED"}
		  - {name: retried, address: "127.0.0.1:$RETRIED"}
		  - {name: idle, address: "127.0.0.1:$IDLE"}
		  - {name: silent, address: "127.0.0.1:$SILENT_FRONT"}
		  - {name: resets, address: "127.0.0.1:$RESETS_FRONT"}
		  - {name: leaves, address: "127.0.0.1:$LEAVES_FRONT"}
		upstreams:
		  - {name: echo, endpoints: ["127.0.0.1:$BACKEND"]}
		  - {name: impatient, endpoints: ["127.0.0.1:$BACKEND"], timeouts: {idle: 200ms}}
		  - {name: both, endpoints: ["127.0.0.1:$REFUSED", "127.0.0.1:$BACKEND"]}
		  - {name: refusing, endpoints: ["127.0.0.1:$REFUSED"]}
		  - {name: silent, endpoints: ["127.0.0.1:$SILENT"], timeouts: {connect: 1h}}
		  - {name: resetting, endpoints: ["127.0.0.1:$RESETS"]}
		  - {name: leaving, endpoints: ["127.0.0.1:$LEAVES"]}
		routes:
		  - {match: {listener: refused}, upstream: refusing}
		  - {match: {listener: retried}, upstream: both}
		  - {match: {listener: rejected}, reject: reset}
		  - {match: {listener: idle}, upstream: impatient}
		  - {match: {listener: silent}, upstream: silent}
		  - {match: {listener: resets}, upstream: resetting}
		  - {match: {listener: leaves}, upstream: leaving}
		  - {upstream: echo}
	END
}
reload() { "$PROXYD" reload --control "$CONTROL" || fail "no reload: $(cat "$PROXYD_LOG")"; }
# A client that sends so much and waits for what the other side does. PORT [BYTES]
visit() { "${PEER[@]}" closed "$@" >/dev/null || fail "a client of port $1"; }
# One that leaves with a RST once its flow is open, or connecting. PORT STATE
reset() {
	rm -f "$TMP/go"
	spawn reset "${PEER[@]}" reset "$1" "$TMP/go"
	wait_until "$PATIENCE" flow_is "$2" || fail "no flow that is $2"
	touch "$TMP/go"
	wait "$SPAWNED_PID" || fail "a client of port $1"
	forget "$SPAWNED_PID"
}
flow_is() { # STATE
	[[ $("$PROXYD" connections --json --control "$CONTROL" | jq -r '.connections[].state') == "$1" ]]
}
talk() { "${PEER[@]}" half-close "${1:-$FRONT}" >/dev/null || fail "a flow of port ${1:-$FRONT}"; } # [PORT]
count_of() { proxyd_status ".access_log.$1"; } # lines|dropped|failed

spawn echo "${PEER[@]}" echo "$BACKEND"
wait_listening "$BACKEND" "the echo server"
spawn full "${PEER[@]}" full "$SILENT"
spawn resets "${PEER[@]}" leave "$RESETS" reset
spawn leaves "${PEER[@]}" leave "$LEAVES" fin
wait_listening "$RESETS" "the server that resets"
wait_listening "$LEAVES" "the server that leaves"
wait_until 60 grep -q full "$TMP/full.log" || fail "no server that does not answer"

# ---- cannot be opened ----
write_config "$TMP/nowhere/access.log"
status=0
timeout 60 "$PROXYD" run -c "$TMP/proxyd.yaml" --control "$CONTROL" >"$TMP/error" 2>&1 || status=$?
assert_equal 1 "$status" "exit status with a log that cannot be opened"
grep -qF "access_log $TMP/nowhere/access.log: No such file" "$TMP/error" || fail "$(cat "$TMP/error")"

# ---- how flows end ----
write_config "$LOG"
start_proxyd -c "$TMP/proxyd.yaml" --lane relay
assert_equal 640 "$(stat -c %a "$LOG")" "mode of the file"
talk
expect_line '.end == "closed_downstream" and .listener == "web" and .upstream == "echo" and .endpoint == $echo and
	(.client | startswith("127.0.0.1:")) and (.source | startswith("127.0.0.1:")) and .detail == null and
	.bytes.up.relay == 100000 and .bytes.down.relay == 100000 and .bytes.kernel == 0 and .bytes.direct == 0 and
	.duration_us > .connect_us and (.time | test("^[0-9-]+T[0-9:.]+Z$"))' "a flow that its client ends"
assert_number "$(date +%s)" -ge "$(tail -n 1 "$LOG" | jq '.time | sub("[.][0-9]+Z"; "Z") | fromdate')" "time of the line"
visit "$LEAVES_FRONT" 1
expect_line '.end == "closed_upstream" and .bytes.up.relay == 1' "a flow that its server ends"
reset "$FRONT" open
expect_line '.end == "reset_downstream"' "a flow that its client resets"
visit "$RESETS_FRONT" 1
expect_line '.end == "reset_upstream" and .upstream == "resetting"' "a flow that its server resets"
visit "$REFUSED_FRONT"
expect_line ".end == \"connect_refused\" and .detail == \"Connection refused\" and .endpoint == \"127.0.0.1:$REFUSED\" and
	.upstream == \"refusing\" and .source == null and .connect_us == null" "a flow whose server is not there"
# One of the two is to begin with the endpoint that is not there.
talk "$RETRIED"
expect_line '.end == "closed_downstream" and .endpoint == $echo and .detail == null' "a flow that was tried twice"
talk "$RETRIED"
expect_line '.end == "closed_downstream" and .endpoint == $echo and .detail == null' "another flow that was tried twice"
assert_equal 2 "$(proxyd_status .errors.connect_refused)" "connects that were refused"
visit "$DENIED"
expect_line '.end == "denied" and .listener == "denied" and .upstream == null and .endpoint == null' "one that is denied"
visit "$REJECTED"
expect_line '.end == "rejected" and .listener == "rejected"' "one that a route rejects"
visit "$IDLE"
expect_line '.end == "idle_timeout" and .duration_us >= 100000' "an idle one"
reset "$SILENT_FRONT" connecting
expect_line '.end == "client_gone" and .upstream == "silent" and .connect_us == null' "a client that does not wait"
exec {six}<>"/dev/tcp/::1/$SIX"
echo hello >&"$six"
read -r -t 60 _ <&"$six" || fail "no echo by IPv6"
exec {six}>&-
expect_line '.listener == "six" and (.client | startswith("[::1]:")) and .bytes.relay == 12' "a flow by IPv6"
assert_equal "$(proxyd_status '"\(.flows.total) \(.bytes.relay)"')" \
	"$(jq -s -r '"\(length) \(map(.bytes.relay) | add)"' "$LOG")" "flows and bytes, as status has them"
assert_equal "$LINES_SEEN" "$(jq -s 'map(.id) | unique | length' "$LOG")" "ids"
assert_equal "$LINES_SEEN 0 0" "$(count_of lines) $(count_of dropped) $(count_of failed)" "lines that status counts"
say "$LINES_SEEN flows, each with its line"

# ---- moved away, by logrotate say, also beside a config that is no good ----
rotate() { # RELOAD'S EXIT STATUS
	local status=0
	mv "$LOG" "$LOG.1"
	"$PROXYD" reload --control "$CONTROL" 2>/dev/null || status=$?
	assert_equal "$1" "$status" "exit status of the reload"
	wait_until 60 test -e "$LOG" || fail "the log is not opened anew"
	LINES_SEEN=0
	talk
	expect_line '.end == "closed_downstream"' "a line after the log was moved away"
}
rotate 0
echo 'frobnicate: 1' >>"$TMP/proxyd.yaml"
rotate 1
write_config "$TMP/nowhere/access.log"
status=0
"$PROXYD" reload --control "$CONTROL" 2>/dev/null || status=$?
assert_equal 1 "$status" "exit status of a reload to a log that cannot be opened"
talk
expect_line '.end == "closed_downstream"' "a line of the log that stays"
say "moved away and opened anew"

# ---- only what failed; none at all ----
write_config "{to: $LOG, flows: failed}"
reload
talk
visit "$DENIED"
expect_line '.end == "denied"' "the next line where flows that failed alone are told"
sed -i '/access_log/d' "$TMP/proxyd.yaml"
reload
visit "$DENIED"
assert_equal false "$(proxyd_status '.access_log.on | tostring')" "whether the log is on"

# ---- a disk that is full ----
write_config /dev/full
reload
before=$(count_of failed)
"${PEER[@]}" knock "$DENIED" 20 >/dev/null
failed_are() { [[ $(count_of failed) == "$1" ]]; } # LINES
wait_until "$PATIENCE" failed_are $((before + 20)) || fail "not 20 lines that failed: $(proxyd_status .access_log)"
assert_equal 1 "$(grep -c 'access_log /dev/full: No space left' "$PROXYD_LOG")" "words about a full disk"
assert_equal "$LINES_SEEN" "$(wc -l <"$LOG")" "lines in the file that was left"
say "a full disk is counted, and said once"

# ---- a pipe that nobody reads ----
mkfifo "$TMP/fifo"
exec {fifo}<>"$TMP/fifo"
write_config "$TMP/fifo"
reload
"${PEER[@]}" knock "$DENIED" 6000 >/dev/null
lines_dropped() { (($(count_of dropped) > 0)); }
wait_until "$PATIENCE" lines_dropped || fail "no line was dropped: $(proxyd_status .access_log)"
talk
spawn hold "${PEER[@]}" hold "$FRONT"
wait_until 60 grep -q held "$TMP/hold.log" || fail "no flow beside a full pipe"
stop_proxyd
exec {fifo}>&-
say "a full pipe holds up neither flows nor the end"

# ---- cut off at the end ----
write_config "$LOG"
rm "$LOG"
start_proxyd -c "$TMP/proxyd.yaml" --lane relay
spawn hold "${PEER[@]}" hold "$FRONT"
wait_until 60 grep -q held "$TMP/hold.log" || fail "no flow"
stop_proxyd
LINES_SEEN=0
expect_line '.end == "drain_timeout" and .bytes.relay == 10' "a flow that is cut off"

# ---- beside proxyd's own words ----
write_config stderr
start_proxyd -c "$TMP/proxyd.yaml" --lane relay
talk
stop_proxyd
assert_equal 1 "$(grep '^{' "$PROXYD_LOG" | jq -s 'map(select(.end == "closed_downstream")) | length')" \
	"lines on standard error"
