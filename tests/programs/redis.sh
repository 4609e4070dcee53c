#!/bin/bash
# Redis behind proxyd: small requests one by one and pipelined, and data that must come back.
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need redis-server redis-benchmark redis-cli

free_port BACKEND
free_port FRONT
REQUESTS=40000
((QUICK == 0)) || REQUESTS=10000

cli() { redis-cli -h 127.0.0.1 -p "$FRONT" "$@"; }

benchmark() { # REQUESTS PIPELINE
	redis-benchmark -h 127.0.0.1 -p "$FRONT" -t set,get -n "$1" -c 20 -d 64 -r 1000 -P "$2" --csv \
		>"$TMP/benchmark-$2.log" 2>&1
	# A line for each command, after a header: name, requests/s, latencies.
	grep -E '^"(SET|GET)"' "$TMP/benchmark-$2.log" | cut -d, -f1,2 |
		while IFS=, read -r command rate; do
			say "-P $2 ${command//\"/}: ${rate//\"/} requests/s"
		done
	assert_equal 2 "$(grep -cE '^"(SET|GET)","[1-9]' "$TMP/benchmark-$2.log")" "commands measured"
}

# What goes in as one long pipeline is read back with one long pipeline.
test_mass_insertion() {
	local i
	for i in {1..5000}; do
		echo "SET key:$i value-$i-$((i * i))"
	done >"$TMP/set"
	sed 's/^SET \([^ ]*\) .*/GET \1/' "$TMP/set" >"$TMP/get"
	sed 's/^SET [^ ]* //' "$TMP/set" >"$TMP/values"
	cli <"$TMP/set" >"$TMP/set.log"
	assert_equal 5000 "$(grep -c '^OK$' "$TMP/set.log")" "SETs confirmed"
	cli <"$TMP/get" >"$TMP/values.back"
	assert_same_file "$TMP/values" "$TMP/values.back" "5000 values"
	cli --pipe <"$TMP/set" >"$TMP/pipe.log"
	grep -q 'errors: 0, replies: 5000' "$TMP/pipe.log" || fail "mass insertion: $(tail -n 1 "$TMP/pipe.log")"
}

test_big_value() {
	head -c 16M /dev/urandom | base64 -w0 >"$TMP/big"
	cli -x set big <"$TMP/big" >/dev/null
	assert_equal "$(stat -c %s "$TMP/big")" "$(cli strlen big)" "length of the big value"
	cli --raw get big | head -c "$(stat -c %s "$TMP/big")" >"$TMP/big.back"
	assert_same_file "$TMP/big" "$TMP/big.back" "big value"
}

spawn redis redis-server --bind 127.0.0.1 --port "$BACKEND" --dir "$TMP" --save '' --appendonly no
wait_listening "$BACKEND" redis-server
start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND" --lane "$LANE"
test_mass_insertion
test_big_value
benchmark "$REQUESTS" 1
benchmark $((REQUESTS * 5)) 16
assert_carried $((REQUESTS * 6 * 2 * 64))
assert_no_active_flows
stop_proxyd
