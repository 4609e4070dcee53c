#!/bin/bash
# Unmodified programs that must not be accelerated: they work while others are, not a byte of theirs goes
# direct, and `--connections` says why. Blocking sockets (Python, Java), splice(2) (a copier in Go, HAProxy),
# and programs that nobody has examined (Go's HTTP server, ssh, iperf3).
. "$(dirname "$0")/lib.sh"
. "$ROOT/tests/sshd.sh"
. "$ROOT/tests/nginx.sh"
need_sshd
need go java haproxy nginx curl iperf3

begin_direct
for port in TALK PYTHON_PORT ECHO COPIER HTTP JAVA NGINX HAPROXY SSH_PORT IPERF; do
	free_port "$port"
done
SIZE=20000000
((QUICK == 0)) || SIZE=5000000

# Those that are accelerated meanwhile: ends.py, in a Python of another name.
cp "$(python3 -c 'import sys; print(sys.executable)')" "$TMP/talker"
# shellcheck disable=SC2034 # used by start_ends
TALKER=("$TMP/talker" "$HERE/ends.py")

run_inside() { # NAME COMMAND...
	spawn "$1" "${INSIDE[@]}" "${@:2}"
}

finish() { # PID WHAT
	local status=0
	wait_until 120 gone "$1" || fail "$2 hangs"
	wait "$1" || status=$?
	forget "$1"
	assert_equal 0 "$status" "exit status of $2"
}

# Each socket at that port is listed with this reason: REASON may be more than one, "a|b".
left_for() { # PORT REASON
	direct_status "[.connections[] | select((.local, .remote) | endswith(\":$1\")) | .reason] |
		length >= 2 and all(test(\"^($2)\$\"))" >/dev/null
}

# What went direct is what the talkers said, and they still do so.
TALKED=0
BEFORE=0
assert_left_alone() { # WHAT
	local now
	now=$(direct_status .bytes.direct)
	assert_most "$TALKED" $((now - BEFORE)) "bytes direct, with $1"
	# Long enough for a scan that loses the processor while it holds a socket to count for little.
	ends talk 500
	TALKED=$((TALKED + 2 * 2 * 500 * 64))
	say "$1"
}

# CLIENT gets two more arguments: the file to wait for, and how many bytes to send then.
dialogue() { # WHAT PORT REASON CLIENT...
	rm -f "$TMP/go"
	run_inside "$1" "${@:4}" "$TMP/go" "$SIZE"
	local pid=$SPAWNED_PID
	wait_until 60 left_for "$2" "$3" || fail "$1: not left alone for $3: $(direct_status .connections)"
	touch "$TMP/go"
	finish "$pid" "$1"
	assert_left_alone "$1: $SIZE bytes there and back"
}

test_python() {
	run_inside python-server python3 "$HERE/blocking.py" server "$PYTHON_PORT"
	wait_listening "$PYTHON_PORT" blocking.py
	dialogue python "$PYTHON_PORT" blocking python3 "$HERE/blocking.py" client "$PYTHON_PORT"
}

test_go() {
	GOCACHE=$TMP/go-cache GO111MODULE=off go build -o "$TMP/left_alone" "$HERE/left_alone.go"
	run_inside go-echo "$TMP/left_alone" echo "127.0.0.1:$ECHO"
	run_inside go-copier "$TMP/left_alone" copier "127.0.0.1:$COPIER" "127.0.0.1:$ECHO"
	run_inside go-http "$TMP/left_alone" http "127.0.0.1:$HTTP"
	wait_listening "$ECHO" go-echo
	wait_listening "$COPIER" go-copier
	wait_listening "$HTTP" go-http
	dialogue go-copier "$COPIER" program "$TMP/left_alone" client "127.0.0.1:$COPIER"
	head -c "$SIZE" /dev/urandom >"$TMP/original"
	"${INSIDE[@]}" curl -fsS -T "$TMP/original" "http://127.0.0.1:$HTTP/" >"$TMP/sum"
	assert_equal "$(sha256sum <"$TMP/original")" "$(cat "$TMP/sum")  -" "checksum by Go's HTTP server"
	assert_left_alone "Go's HTTP server: $SIZE bytes from curl"
}

test_java() {
	javac -d "$TMP" "$HERE/LeftAlone.java"
	run_inside java-server java -cp "$TMP" LeftAlone server "$JAVA"
	wait_listening "$JAVA" java-server
	dialogue java "$JAVA" 'blocking|program' java -cp "$TMP" LeftAlone client "$JAVA"
}

test_haproxy() {
	mkdir -p "$TMP/www" "$TMP/nginx"
	cp "$TMP/original" "$TMP/www/file"
	write_nginx_config <<-END
		server {
		    listen 127.0.0.1:$NGINX;
		    root $TMP/www;
		    location / { dav_methods PUT; }
		}
	END
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
	run_inside nginx nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
	run_inside haproxy haproxy -db -f "$TMP/haproxy.cfg"
	wait_listening "$NGINX" nginx
	wait_listening "$HAPROXY" haproxy
	"${INSIDE[@]}" curl -fsS -T "$TMP/original" "http://127.0.0.1:$HAPROXY/uploaded"
	assert_same_file "$TMP/original" "$TMP/www/uploaded" "upload through HAProxy"
	"${INSIDE[@]}" curl -fsS -o "$TMP/downloaded" "http://127.0.0.1:$HAPROXY/file"
	assert_same_file "$TMP/original" "$TMP/downloaded" "download through HAProxy"
	assert_left_alone "HAProxy that splices: $SIZE bytes up and down"
}

test_ssh() {
	local own
	own=$CGROUP_ROOT$(sed -n 's/^0:://p' /proc/self/cgroup)
	echo $$ >"$CGROUP/cgroup.procs"
	start_sshd "$SSH_PORT" "$SSH_PORT"
	echo $$ >"$own/cgroup.procs"
	"${INSIDE[@]}" timeout 60 ssh -F "$TMP/ssh.conf" proxyd cat <"$TMP/original" >"$TMP/echoed"
	assert_same_file "$TMP/original" "$TMP/echoed" "ssh, there and back"
	assert_left_alone "ssh: $SIZE bytes there and back"
}

test_iperf() {
	run_inside iperf iperf3 -s -B 127.0.0.1 -p "$IPERF" -1
	local server=$SPAWNED_PID
	wait_listening "$IPERF" iperf3
	"${INSIDE[@]}" iperf3 -c 127.0.0.1 -p "$IPERF" -n "$SIZE" -J >"$TMP/iperf.json"
	assert_number "$(jq .end.sum_received.bytes "$TMP/iperf.json")" -ge $((SIZE / 2)) "bytes of iperf3"
	finish "$server" iperf3
	assert_left_alone "iperf3"
}

start_accelerate --interval 20ms --program talker
start_ends 127.0.0.1 "$TALK" 2
talk_into_lane 4
BEFORE=$(direct_status .bytes.direct)
test_python
test_go
test_java
test_haproxy
test_ssh
test_iperf
end "$ENDS_PID"
stop_accelerate
