#!/bin/bash
# Unmodified programs whose clients and servers are paired past proxyd by default: they go direct, and
# what they keep is right.
. "$(dirname "$0")/through_lib.sh"
. "$(dirname "$0")/programs_lib.sh"
PLACE=()

direct_so_far() { proxyd_status .bytes.direct; }

test_redis() {
	start_redis "$BACKEND"
	start_through 127.0.0.1 --lane "$1"
	goes_direct redis 100000 redis-benchmark -p "$FRONT" -t incr -n 100000 -c 20
	SUM=$((100000 * RUNS))
	goes_direct redis-pipelined 100000 redis-benchmark -p "$FRONT" -t incr -n 300000 -c 20 -P 16
	SUM=$((SUM + 300000 * RUNS))
	assert_equal "$SUM" "$(redis-cli -p "$BACKEND" get 'counter:__rand_int__')" "sum of all increments"
	end "${SPAWNED[0]%% *}"
	stop_through
}

# A dialogue of small requests first, then a file each way on the same connection.
test_nginx() {
	local url=http://127.0.0.1:$FRONT i
	start_nginx "$BACKEND"
	start_through 127.0.0.1 --lane "$1"
	head -c 20M /dev/urandom >"$TMP/original"
	echo small >"$TMP/www/small"
	goes_direct wrk 100000 wrk -t 1 -c 8 -d 1s --timeout 60s "$url/small"
	! grep -E 'Socket errors|Non-2xx' "$TMP/wrk.log" >&2 || fail "wrk: errors"
	for i in {1..300}; do
		printf 'url = "%s/small"\noutput = "/dev/null"\n' "$url"
	done >"$TMP/curl.requests"
	printf 'next\nupload-file = "%s"\nurl = "%s/upload/file"\n' "$TMP/original" "$url" >>"$TMP/curl.requests"
	curl -fsS --max-time 60 -K "$TMP/curl.requests"
	assert_same_file "$TMP/original" "$TMP/www/upload/file" "upload"
	curl -fsS --max-time 60 -o "$TMP/download" "$url/upload/file"
	assert_same_file "$TMP/original" "$TMP/download" "download"
	stop_through
}

test_memcached() {
	start_memcached "$BACKEND"
	start_through 127.0.0.1 --lane "$1"
	memcached_goes_direct "$FRONT" 100000
	stop_through
}

test_postgres() {
	start_postgres "$BACKEND"
	start_through 127.0.0.1 --lane "$1"
	pgbench_goes_direct "$FRONT" "$BACKEND" 1 100000
	stop_through
}

# Servers before stay; each has ports of its own.
begin_through
test_redis auto
for test in 'test_nginx relay' 'test_memcached auto' 'test_postgres auto'; do
	free_port FRONT
	free_port BACKEND
	$test
done
