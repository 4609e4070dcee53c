#!/bin/bash
# Unmodified programs whose clients and servers are paired past proxyd by default: they go direct, and
# what they keep is right.
. "$(dirname "$0")/through_lib.sh"
need redis-server redis-benchmark redis-cli nginx wrk curl

direct_bytes() { proxyd_status .bytes.direct; }

# Runs a command again until at least MIN bytes of it went direct: the look at the sockets may come late
# on a busy machine. Sets RUNS.
goes_direct() { # WHAT MIN COMMAND...
	local what=$1 min=$2 before direct=-1 until=$((SECONDS + 60))
	shift 2
	before=$(direct_bytes)
	for ((RUNS = 0; direct < min; RUNS++)); do
		((SECONDS < until)) || fail "$what: $direct bytes direct in $RUNS runs"
		"$@" >"$TMP/$what.log" 2>&1 || fail "$what"
		direct=$(($(direct_bytes) - before))
	done
	say "$what: $direct bytes direct, $RUNS runs"
}

test_redis() {
	spawn redis redis-server --bind 127.0.0.1 --port "$BACKEND" --dir "$TMP" --save '' --appendonly no
	wait_listening "$BACKEND" redis-server
	start_through 127.0.0.1 --lane "$1"
	goes_direct redis 100000 redis-benchmark -p "$FRONT" -t incr -n 100000 -c 20
	SUM=$((100000 * RUNS))
	goes_direct redis-pipelined 100000 redis-benchmark -p "$FRONT" -t incr -n 300000 -c 20 -P 16
	SUM=$((SUM + 300000 * RUNS))
	assert_equal "$SUM" "$(redis-cli -p "$BACKEND" get 'counter:__rand_int__')" "sum of all increments"
	end "${SPAWNED[0]%% *}"
	stop_through
}

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
		    client_max_body_size 0;
		    client_body_temp_path $TMP/nginx/body;
		    proxy_temp_path $TMP/nginx/proxy;
		    fastcgi_temp_path $TMP/nginx/fastcgi;
		    uwsgi_temp_path $TMP/nginx/uwsgi;
		    scgi_temp_path $TMP/nginx/scgi;
		    keepalive_requests 1000000;
		    server {
		        listen 127.0.0.1:$BACKEND;
		        root $TMP/www;
		        location /upload { dav_methods PUT; }
		    }
		}
	END
	spawn nginx nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
	wait_listening "$BACKEND" nginx
}

# A dialogue of small requests first, then a file each way on the same connection.
test_nginx() {
	local url=http://127.0.0.1:$FRONT i
	start_nginx
	start_through 127.0.0.1 --lane "$1"
	head -c 20M /dev/urandom >"$TMP/original"
	echo small >"$TMP/www/small"
	goes_direct wrk 100000 wrk -t 1 -c 8 -d 1s "$url/small"
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

begin_through
test_redis auto
free_port FRONT
free_port BACKEND
test_nginx relay
