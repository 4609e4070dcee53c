#!/bin/bash
# proxyd connections: each flow once, with what it is and what it has carried, of many, also while others
# come and go.
. "$(dirname "$0")/../lib.sh"
need python3 jq
COUNT=1500
((QUICK == 0)) || COUNT=400

connections() { "$PROXYD" connections --json --control "$CONTROL" "$@" | jq -er '.connections'; }
connections_are() { [[ $(connections | jq -r "$1") == "$2" ]]; }     # JQ-FILTER VALUE
await() { wait_until 60 connections_are "$1" "$2" || fail "not $2: $1 of $(connections | jq -c . | head -c 2000)"; } # JQ-FILTER VALUE
begin_crowd() { # PORT COUNT ADDRESS...
	coproc CROWD { exec "$(dirname "$0")/crowd.py" "$@" 2>"$TMP/crowd.log"; }
	SPAWNED+=("$CROWD_PID crowd")
	local line=''
	: >"$TMP/own-ends"
	while read -r -t 60 line <&"${CROWD[0]}" && [[ $line != all ]]; do
		echo "$line" >>"$TMP/own-ends"
	done
	assert_equal all "$line" "last word of the crowd: $(cat "$TMP/crowd.log")"
}
end_crowd() {
	local input=${CROWD[1]}
	exec {input}>&-
	end "$CROWD_PID"
	await 'map(.listener) | tostring' '["dead"]'
}

free_port FRONT
free_port FRONT4
free_port FRONT6
free_port BACKEND
free_port NOWHERE
free_port SILENT
free_port CROWDED
cat >"$TMP/proxyd.yaml" <<-END
	workers: 2
	drain_timeout: 1s
	listeners:
	  - {name: web, address: "127.0.0.1:$FRONT"}
	  - {name: four, address: "127.0.0.1:$FRONT4"}
	  - {name: six, address: "[::1]:$FRONT6"}
	  - {name: dead, address: "127.0.0.1:$NOWHERE"}
	upstreams:
	  - {name: echo, endpoints: ["127.0.0.1:$BACKEND"]}
	  - {name: crowd, endpoints: ["127.0.0.1:$CROWDED"]}
	  - {name: nobody, endpoints: ["127.0.0.1:$SILENT"], timeouts: {connect: 1h}}
	routes:
	  - {match: {listener: dead}, upstream: nobody}
	  - {match: {listener: [four, six]}, upstream: crowd}
	  - {upstream: echo}
END
spawn echo python3 "$ROOT/tests/peer.py" echo "$BACKEND"
wait_listening "$BACKEND" "the echo server"
spawn full python3 "$ROOT/tests/peer.py" full "$SILENT"
wait_until 60 grep -q full "$TMP/full.log" || fail "no server that does not answer"

# ---- nobody there, or not for us ----
refused() { # STATUS WORD COMMAND...
	local status=0
	"${@:3}" >"$TMP/out" 2>"$TMP/error" || status=$?
	assert_equal "$1" "$status" "exit status of: ${*:3}"
	grep -qF "$2" "$TMP/error" || fail "not a word of '$2' about: ${*:3}: $(cat "$TMP/error")"
	[[ ! -s $TMP/out ]] || fail "output of: ${*:3}"
}
refused 5 'is proxyd running?' "$PROXYD" connections --control "$TMP/nowhere"
refused 2 surplus "$PROXYD" connections surplus
start_proxyd -c "$TMP/proxyd.yaml" --lane relay
((EUID != 0)) || refused 5 'Permission denied' as_nobody "$PROXYD" connections --control "$CONTROL"
assert_equal '[]' "$(connections | jq -c .)" "flows of a proxyd without any"
"$PROXYD" connections --control "$CONTROL" >"$TMP/table"
assert_equal 1 "$(grep -c '^ID .*WHY$' "$TMP/table")" "heads of the table"

# ---- one of each kind ----
spawn hold python3 "$ROOT/tests/peer.py" hold "$FRONT"
HOLD=$SPAWNED_PID
await 'map(select(.bytes.down.relay > 0)) | length' 1
# Two clocks, of which one may be a turn of the worker's loop behind, on a busy machine for long.
connections | jq -e --arg echo "127.0.0.1:$BACKEND" '.[0] |
	.state == "open" and .listener == "web" and .upstream == "echo" and .endpoint == $echo and
	(.client | startswith("127.0.0.1:")) and (.source | startswith("127.0.0.1:")) and
	.client != .source and .age_ms + 10000 >= .idle_ms and .direct == null and
	.lanes == {up: "relay", down: "relay"} and .bytes.up.relay == .bytes.down.relay and
	.bytes.relay == 2 * .bytes.up.relay and .bytes.kernel + .bytes.direct == 0' >/dev/null ||
	fail "a flow that is held: $(connections)"
assert_equal "$(proxyd_status .bytes.relay)" "$(connections | jq 'map(.bytes.relay) | add')" "bytes, as status has them"
await 'map(select(.idle_ms >= 1000 and .age_ms >= 1000)) | length' 1
exec {pending}<>"/dev/tcp/127.0.0.1/$NOWHERE"
await 'map(.listener) | sort | tostring' '["dead","web"]'
connections --upstream nobody | jq -e --arg silent "127.0.0.1:$SILENT" 'length == 1 and (.[0] | .listener == "dead" and .endpoint == $silent and
	.state == "connecting" and .source == null)' >/dev/null || fail "a flow that connects: $(connections)"
assert_equal 1 "$(connections --listener web | jq length)" "flows of a listener"
assert_equal 0 "$(connections --listener web --upstream nobody | jq length)" "flows of a listener to another's upstream"
assert_equal 0 "$(connections --listener we | jq length)" "flows of a listener that is not there"
end "$HOLD"
await 'map(.listener) | tostring' '["dead"]'
say "what is told of a flow, by its kinds"

# ---- many, and others that come and go ----
begin_crowd "$CROWDED" "$COUNT" "127.0.0.1:$FRONT4" "[::1]:$FRONT6"
for i in 1 2 3; do
	connections >"$TMP/flows"
	# A flow of the listener that leads nowhere may have the port of one of these.
	jq -r '.[] | select(.listener != "dead").client' "$TMP/flows" | grep -xFf "$TMP/own-ends" | sort >"$TMP/listed"
	sort "$TMP/own-ends" | cmp - "$TMP/listed" || fail "look $i: not each of $COUNT once: $(wc -l <"$TMP/listed")"
	assert_equal "" "$(jq -r '.[].id' "$TMP/flows" | sort | uniq -d)" "flows with one id"
done
assert_equal $((COUNT / 2)) "$(connections --listener six | jq -r '.[].client' | grep -cxFf "$TMP/own-ends")" \
	"flows by IPv6"
"$PROXYD" connections --control "$CONTROL" >"$TMP/table"
assert_number "$(wc -l <"$TMP/table")" -gt "$COUNT" "lines of the table"
assert_number "$(grep -c '  -$' "$TMP/table")" -ge "$COUNT" "lines that say why, where there is no direct lane"
end_crowd
say "$COUNT flows, each once in three looks"

# ---- what was configured goes, its flows stay ----
spawn hold python3 "$ROOT/tests/peer.py" hold "$FRONT"
await 'map(select(.bytes.down.relay > 0)) | length' 1
assert_equal '["dead","web"]' "$(connections | jq -c 'map(.listener) | sort')" "names of flows"
sed -i -e 's/name: web/name: other/' -e 's/name: echo/name: second/' -e 's/upstream: echo/upstream: second/' "$TMP/proxyd.yaml"
"$PROXYD" reload --control "$CONTROL" || fail "no reload: $(cat "$PROXYD_LOG")"
assert_equal '[["dead","nobody"],["web","echo"]]' "$(connections | jq -c 'map([.listener, .upstream]) | sort')" \
	"names of flows after a reload"
end "$SPAWNED_PID"
exec {pending}>&-
stop_proxyd
say "names after a reload that takes them away"
