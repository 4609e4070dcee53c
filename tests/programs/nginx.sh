#!/bin/bash
# nginx behind proxyd: uploads and downloads with curl, keep-alive, pipelining, load with wrk.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../nginx.sh"
take_lane "$@"
need nginx wrk curl

free_port BACKEND
free_port FRONT
URL=http://127.0.0.1:$FRONT
SIZE=100M
((QUICK == 0)) || SIZE=20M

start_nginx() {
	write_nginx_config <<-END
		sendfile on;
		keepalive_requests 1000000;
		server {
		    listen 127.0.0.1:$BACKEND;
		    root $TMP/www;
		    location /upload { dav_methods PUT; }
		}
	END
	spawn nginx nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
	wait_listening "$BACKEND" nginx
}

# Up with PUT, then what arrived down again: both directions are compared on the way.
test_files() {
	head -c "$SIZE" /dev/urandom >"$TMP/original"
	curl -fsS --max-time 60 -T "$TMP/original" "$URL/upload/file"
	assert_same_file "$TMP/original" "$TMP/www/upload/file" "upload"
	curl -fsS --max-time 60 -o "$TMP/download" "$URL/upload/file"
	assert_same_file "$TMP/original" "$TMP/download" "download"
}

# Slow reader: the window fills and empties all the time.
test_slow_download() {
	curl -fsS --max-time 60 --limit-rate 8M -r 0-16777215 -o "$TMP/part" "$URL/upload/file"
	cmp -n 16777216 "$TMP/original" "$TMP/part" >&2 || fail "slow download"
}

write_pages() {
	local i
	for i in {1..200}; do
		echo "page $i" >"$TMP/www/page-$i"
		echo "page $i"
	done >"$TMP/pages"
}

test_keep_alive() {
	curl -fsS --max-time 60 --write-out '%{stderr}%{num_connects}\n' "$URL/page-[1-200]" \
		>"$TMP/keep-alive" 2>"$TMP/connects"
	assert_same_file "$TMP/pages" "$TMP/keep-alive" "200 keep-alive responses"
	assert_equal 1 "$(($(paste -sd+ "$TMP/connects")))" "connections for 200 requests"
}

# All requests leave before the first response is read.
test_pipelining() {
	local i
	exec 3<>"/dev/tcp/127.0.0.1/$FRONT"
	for i in {1..199}; do
		printf 'GET /page-%d HTTP/1.1\r\nHost: test\r\n\r\n' "$i"
	done >"$TMP/requests"
	printf 'GET /page-200 HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n' >>"$TMP/requests"
	cat "$TMP/requests" >&3
	timeout 60 cat <&3 >"$TMP/responses" || fail "pipelining: no end of the responses"
	exec 3>&-
	grep -a '^page ' "$TMP/responses" >"$TMP/pipelined"
	assert_same_file "$TMP/pages" "$TMP/pipelined" "200 pipelined responses"
}

load() { # WHAT WRK-OPTIONS...
	local what=$1 log
	shift
	log=$TMP/wrk-$what.log
	wrk -t 2 -c 32 -d 2s --timeout 60s "$@" "$URL/page-1" >"$log"
	say "$what: $(sed -n 's/^Requests\/sec: *//p' "$log") requests/s"
	! grep -E 'Socket errors|Non-2xx' "$log" >&2 || fail "wrk $what: errors"
	assert_number "$(sed -nE 's/^ *([0-9]+) requests in.*/\1/p' "$log")" -gt 0 "wrk $what requests"
}

start_nginx
start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND" --lane "$LANE"
test_files
test_slow_download
assert_carried $((2 * $(stat -c %s "$TMP/original")))
write_pages
test_keep_alive
test_pipelining
load keep-alive
load one-request-each -H 'Connection: close'
assert_no_active_flows
stop_proxyd
