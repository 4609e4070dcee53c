#!/bin/bash
# Unmodified programs in an accelerated cgroup, with the default set of programs: redis and
# PostgreSQL go direct, and what they keep is right. nginx (FIONREAD), HAProxy (splice) and
# curl are left alone meanwhile, and whole files arrive.
. "$(dirname "$0")/lib.sh"
need redis-server redis-benchmark redis-cli nginx curl haproxy wrk setpriv
BIN=$(find /usr/lib/postgresql/*/bin -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
[[ -n $BIN ]] || skip "PostgreSQL is not installed (tests/install)"

begin_direct
free_port REDIS
free_port POSTGRES
free_port NGINX
free_port HAPROXY
SIZE=100M
TIME=2
((QUICK == 0)) || SIZE=20M TIME=1
export PGHOST=127.0.0.1 PGPORT=$POSTGRES PGUSER=postgres PGDATABASE=postgres

direct_messages() { direct_status .messages.direct; }

# Runs a command in the cgroup; at least MIN messages of it went direct.
goes_direct() { # WHAT MIN COMMAND...
	local what=$1 min=$2 before
	shift 2
	before=$(direct_messages)
	"${INSIDE[@]}" "$@" >"$TMP/$what.log" 2>&1 || fail "$what"
	say "$what: $(($(direct_messages) - before)) messages direct"
	assert_number $(($(direct_messages) - before)) -ge "$min" "direct messages of $what"
}

# ---- redis ----
test_redis() {
	spawn redis "${INSIDE[@]}" redis-server --bind 127.0.0.1 --port "$REDIS" --dir "$TMP" --save '' \
		--appendonly no
	wait_listening "$REDIS" redis-server
	goes_direct redis 50000 redis-benchmark -p "$REDIS" -t incr -n 200000 -c 20
	assert_equal 200000 "$(redis-cli -p "$REDIS" get 'counter:__rand_int__')" "sum of all increments"
	goes_direct redis-pipelined 3000 redis-benchmark -p "$REDIS" -t incr -n 600000 -c 20 -P 16
	assert_equal 800000 "$(redis-cli -p "$REDIS" get 'counter:__rand_int__')" "sum of all increments"
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
	goes_direct pgbench-read 500 "$BIN/pgbench" --no-vacuum -c 4 -T "$TIME" -S
	goes_direct pgbench-write 500 "$BIN/pgbench" --no-vacuum -c 4 -T "$TIME"
	grep -q 'failed transactions: 0 ' "$TMP/pgbench-write.log" || fail "failed transactions"
	# Every transaction adds one delta to an account, a teller, a branch and the history.
	assert_equal 1 "$(query 'SELECT count(DISTINCT total) FROM (
		SELECT sum(abalance) AS total FROM pgbench_accounts
		UNION ALL SELECT sum(tbalance) FROM pgbench_tellers
		UNION ALL SELECT sum(bbalance) FROM pgbench_branches
		UNION ALL SELECT sum(delta) FROM pgbench_history) AS totals')" "distinct sums of the deltas"
}

# ---- those that are left alone ----
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

start_haproxy() {
	cat >"$TMP/haproxy.cfg" <<-END
		defaults
		    mode tcp
		    option splice-request
		    option splice-response
		    timeout connect 5s
		    timeout client 30s
		    timeout server 30s
		listen front
		    bind 127.0.0.1:$HAPROXY
		    server nginx 127.0.0.1:$NGINX
	END
	spawn haproxy "${INSIDE[@]}" haproxy -db -f "$TMP/haproxy.cfg"
	wait_listening "$HAPROXY" haproxy
}

# Many small requests first on the same connections: dialogues as others that are accelerated.
test_files() { # BACKEND NAME
	local url=http://127.0.0.1:$1 i
	for i in {1..300}; do
		printf 'url = "%s/small"\noutput = "/dev/null"\n' "$url"
	done >"$TMP/curl.$2"
	printf 'next\nupload-file = "%s"\nurl = "%s/upload/file"\n' "$TMP/original" "$url" >>"$TMP/curl.$2"
	rm -f "$TMP/www/upload/file"
	"${INSIDE[@]}" curl -fsS --max-time 60 -K "$TMP/curl.$2"
	assert_same_file "$TMP/original" "$TMP/www/upload/file" "upload, $2"
	"${INSIDE[@]}" curl -fsS --max-time 60 -o "$TMP/download" "$url/upload/file"
	assert_same_file "$TMP/original" "$TMP/download" "download, $2"
	"${INSIDE[@]}" wrk -t 1 -c 8 -d "${TIME}s" "$url/small" >"$TMP/wrk.$2"
	! grep -E 'Socket errors|Non-2xx' "$TMP/wrk.$2" >&2 || fail "wrk, $2: errors"
}

test_left_alone() {
	local before
	head -c "$SIZE" /dev/urandom >"$TMP/original"
	echo small >"$TMP/www/small"
	before=$(direct_messages)
	test_files "$NGINX" nginx
	test_files "$HAPROXY" haproxy
	assert_equal "$before" "$(direct_messages)" "direct messages after nginx, HAProxy, curl and wrk"
	say "nginx and HAProxy, 100 MB up and down, are left alone"
}

start_accelerate --interval 100ms
test_redis
test_postgres
start_nginx
start_haproxy
test_left_alone
stop_accelerate
assert_equal 800000 "$(redis-cli -p "$REDIS" get 'counter:__rand_int__')" "redis after acceleration"
