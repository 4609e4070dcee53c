#!/bin/bash
# Unmodified programs that are accelerated by default: they go direct, and what they keep is right.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/programs_lib.sh"
need node
PLACE=("${INSIDE[@]}")

direct_so_far() { direct_status .messages.direct; }

begin_direct
free_port REDIS
free_port POSTGRES
free_port NGINX
free_port MEMCACHED
free_port NODE
SIZE=100M
TIME=2
((QUICK == 0)) || SIZE=20M TIME=1

# ---- redis ----
test_redis() {
	start_redis "$REDIS"
	goes_direct redis 10000 redis-benchmark -p "$REDIS" -t incr -n 200000 -c 20
	SUM=$((200000 * RUNS))
	assert_equal "$SUM" "$(redis-cli -p "$REDIS" get 'counter:__rand_int__')" "sum of all increments"
	goes_direct redis-pipelined 1000 redis-benchmark -p "$REDIS" -t incr -n 600000 -c 20 -P 16
	SUM=$((SUM + 600000 * RUNS))
	assert_equal "$SUM" "$(redis-cli -p "$REDIS" get 'counter:__rand_int__')" "sum of all increments"
}

# ---- PostgreSQL ----
test_postgres() {
	start_postgres "$POSTGRES"
	pgbench_goes_direct "$POSTGRES" "$POSTGRES" "$TIME" 100
}

# ---- nginx, curl, wrk: FIONREAD ----

# Many small requests first, so that the connection is in the lane when the file comes.
write_small_requests() { # URL COUNT
	local i
	for ((i = 0; i < $2; i++)); do
		printf 'url = "%s"\noutput = "/dev/null"\n' "$1"
	done
}

test_nginx() {
	local url=http://127.0.0.1:$NGINX i
	start_nginx "$NGINX"
	head -c "$SIZE" /dev/urandom >"$TMP/original"
	head -c 1000 /dev/urandom >"$TMP/www/small"
	head -c 100000 /dev/urandom >"$TMP/www/large"
	goes_direct wrk 1000 wrk -t 1 -c 8 -d "${TIME}s" --timeout 60s "$url/small"
	goes_direct wrk-large 0 wrk -t 1 -c 8 -d "${TIME}s" --timeout 60s "$url/large"
	! grep -E 'Socket errors|Non-2xx' "$TMP"/wrk*.log >&2 || fail "wrk: errors"
	write_small_requests "$url/small" 20000 >"$TMP/curl.config"
	for i in 1 2 3; do
		printf 'next\nupload-file = "%s"\nurl = "%s/upload/file%s"\n' "$TMP/original" "$url" "$i"
		printf 'next\nurl = "%s/upload/file%s"\noutput = "%s"\n' "$url" "$i" "$TMP/download$i"
	done >>"$TMP/curl.config"
	goes_direct curl 100 curl -fsS --max-time 60 -K "$TMP/curl.config"
	for i in 1 2 3; do
		assert_same_file "$TMP/original" "$TMP/www/upload/file$i" "upload $i"
		assert_same_file "$TMP/original" "$TMP/download$i" "download $i"
	done
	say "curl: 3 times $SIZE up and down"
}

# ---- node ----
test_node() {
	local url=http://127.0.0.1:$NODE
	cat >"$TMP/server.js" <<-END
		const { createHash } = require("crypto");
		require("http").createServer((request, answer) => {
		    const sum = createHash("sha256");
		    request.on("data", (data) => sum.update(data));
		    request.on("end", () => answer.end(sum.digest("hex")));
		}).listen($NODE, "127.0.0.1");
	END
	spawn node "${INSIDE[@]}" node "$TMP/server.js"
	wait_listening "$NODE" node
	goes_direct node-wrk 500 wrk -t 1 -c 8 -d "${TIME}s" --timeout 60s "$url"
	! grep -E 'Socket errors|Non-2xx' "$TMP/node-wrk.log" >&2 || fail "wrk and node: errors"
	{
		write_small_requests "$url" 4000
		printf 'next\nupload-file = "%s"\nurl = "%s/"\n' "$TMP/original" "$url"
	} >"$TMP/node.config"
	goes_direct node-curl 100 curl -fsS --max-time 60 -K "$TMP/node.config"
	assert_equal "$(sha256sum <"$TMP/original")" "$(cat "$TMP/node-curl.log")  -" "node's checksum of the upload"
}

# ---- memcached ----
test_memcached() {
	start_memcached "$MEMCACHED"
	memcached_goes_direct "$MEMCACHED" 1000
}

start_accelerate --interval 20ms --program memcslap --program "$PYTHON"
test_redis
test_postgres
test_nginx
test_node
test_memcached
stop_accelerate
assert_equal "$SUM" "$(redis-cli -p "$REDIS" get 'counter:__rand_int__')" "redis after acceleration"
