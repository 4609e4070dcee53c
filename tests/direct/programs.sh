#!/bin/bash
# Unmodified programs that are accelerated by default: they go direct, and what they keep is right.
. "$(dirname "$0")/lib.sh"
need redis-server redis-benchmark redis-cli nginx curl wrk setpriv memcached memcslap node
BIN=$(find /usr/lib/postgresql/*/bin -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
[[ -n $BIN ]] || skip "PostgreSQL is not installed (tests/install)"

begin_direct
free_port REDIS
free_port POSTGRES
free_port NGINX
free_port MEMCACHED
free_port NODE
SIZE=100M
TIME=2
((QUICK == 0)) || SIZE=20M TIME=1
export PGHOST=127.0.0.1 PGPORT=$POSTGRES PGUSER=postgres PGDATABASE=postgres

direct_messages() { direct_status .messages.direct; }

# Runs a command in the cgroup, again until at least MIN messages of it went direct: the look at the
# sockets may come late on a busy machine. Sets RUNS.
goes_direct() { # WHAT MIN COMMAND...
	local what=$1 min=$2 before direct=-1 until=$((SECONDS + 60))
	shift 2
	before=$(direct_messages)
	for ((RUNS = 0; direct < min; RUNS++)); do
		((SECONDS < until)) || fail "$what: $direct messages direct in $RUNS runs"
		"${INSIDE[@]}" "$@" >"$TMP/$what.log" 2>&1 || fail "$what"
		direct=$(($(direct_messages) - before))
	done
	say "$what: $direct messages direct, $RUNS runs"
}

# ---- redis ----
test_redis() {
	spawn redis "${INSIDE[@]}" redis-server --bind 127.0.0.1 --port "$REDIS" --dir "$TMP" --save '' \
		--appendonly no
	wait_listening "$REDIS" redis-server
	goes_direct redis 10000 redis-benchmark -p "$REDIS" -t incr -n 200000 -c 20
	SUM=$((200000 * RUNS))
	assert_equal "$SUM" "$(redis-cli -p "$REDIS" get 'counter:__rand_int__')" "sum of all increments"
	goes_direct redis-pipelined 1000 redis-benchmark -p "$REDIS" -t incr -n 600000 -c 20 -P 16
	SUM=$((SUM + 600000 * RUNS))
	assert_equal "$SUM" "$(redis-cli -p "$REDIS" get 'counter:__rand_int__')" "sum of all increments"
}

# ---- PostgreSQL ----
accepts_connections() { "$BIN/pg_isready" -q; }

query() { "$BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"; }

start_postgres() {
	install -d -o nobody -g nogroup -m 700 "$TMP/postgresql"
	cd "$TMP/postgresql"
	as_nobody "$BIN/initdb" -D "$TMP/postgresql/db" -U postgres --auth=trust --no-sync --locale=C \
		>"$TMP/initdb.log" 2>&1
	spawn postgres "${INSIDE[@]}" setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$BIN/postgres" -D "$TMP/postgresql/db" -p "$POSTGRES" -c listen_addresses=127.0.0.1 \
		-c unix_socket_directories= -c fsync=off -c ssl=off
	wait_listening "$POSTGRES" postgres
	wait_until 20 accepts_connections || fail "postgres accepts no connections"
}

test_postgres() {
	start_postgres
	"$BIN/pgbench" -q -i -s 1 >"$TMP/pgbench-init.log" 2>&1
	goes_direct pgbench-read 100 "$BIN/pgbench" --no-vacuum -c 4 -T "$TIME" -S
	goes_direct pgbench-write 100 "$BIN/pgbench" --no-vacuum -c 4 -T "$TIME"
	grep -q 'failed transactions: 0 ' "$TMP/pgbench-write.log" || fail "failed transactions"
	# Every transaction adds one delta to an account, a teller, a branch and the history.
	assert_equal 1 "$(query 'SELECT count(DISTINCT total) FROM (
		SELECT sum(abalance) AS total FROM pgbench_accounts
		UNION ALL SELECT sum(tbalance) FROM pgbench_tellers
		UNION ALL SELECT sum(bbalance) FROM pgbench_branches
		UNION ALL SELECT sum(delta) FROM pgbench_history) AS totals')" "distinct sums of the deltas"
}

# ---- nginx, curl, wrk: FIONREAD ----
start_nginx() {
	mkdir -p "$TMP/www/upload" "$TMP/nginx"
	cat >"$TMP/nginx.conf" <<-END
		worker_processes 1;
		pid $TMP/nginx/pid;
		error_log stderr warn;
		user root;
		events { worker_connections 512; }
		http {
		    access_log off;
		    sendfile on;
		    client_max_body_size 0;
		    client_body_temp_path $TMP/nginx/body;
		    proxy_temp_path $TMP/nginx/proxy;
		    fastcgi_temp_path $TMP/nginx/fastcgi;
		    uwsgi_temp_path $TMP/nginx/uwsgi;
		    scgi_temp_path $TMP/nginx/scgi;
		    keepalive_requests 1000000;
		    server {
		        listen 127.0.0.1:$NGINX;
		        root $TMP/www;
		        location /upload { dav_methods PUT; }
		    }
		}
	END
	spawn nginx "${INSIDE[@]}" nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
	wait_listening "$NGINX" nginx
}

# Many small requests first, so that the connection is in the lane when the file comes.
write_small_requests() { # URL COUNT
	local i
	for ((i = 0; i < $2; i++)); do
		printf 'url = "%s"\noutput = "/dev/null"\n' "$1"
	done
}

test_nginx() {
	local url=http://127.0.0.1:$NGINX i
	start_nginx
	head -c "$SIZE" /dev/urandom >"$TMP/original"
	head -c 1000 /dev/urandom >"$TMP/www/small"
	head -c 100000 /dev/urandom >"$TMP/www/large"
	goes_direct wrk 1000 wrk -t 1 -c 8 -d "${TIME}s" "$url/small"
	goes_direct wrk-large 0 wrk -t 1 -c 8 -d "${TIME}s" "$url/large"
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
	goes_direct node-wrk 500 wrk -t 1 -c 8 -d "${TIME}s" "$url"
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
	local user=()
	((EUID)) || user=(-u nobody)
	spawn memcached "${INSIDE[@]}" memcached "${user[@]}" -l 127.0.0.1 -p "$MEMCACHED" -U 0 -m 64
	wait_listening "$MEMCACHED" memcached
	goes_direct memcached 1000 memcslap --servers "127.0.0.1:$MEMCACHED" --concurrency 4 \
		--execute-number 20000 --test get
}

start_accelerate --interval 20ms --program memcslap
test_redis
test_postgres
test_nginx
test_node
test_memcached
stop_accelerate
assert_equal "$SUM" "$(redis-cli -p "$REDIS" get 'counter:__rand_int__')" "redis after acceleration"
