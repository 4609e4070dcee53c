#!/bin/bash
# One port for ssh, TLS and HTTP, the last by its Host: real clients, real servers.
#
#   first_bytes.sh kernel|relay|auto
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../nginx.sh"
. "$(dirname "$0")/../sshd.sh"
take_lane "$@"
need_sshd
need curl nginx openssl python3

free_port FRONT
free_port SSH_PORT
free_port TLS
free_port SHOP
free_port MAIL
free_port REST
free_port ECHO

start_nginx() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=tls \
		-keyout "$TMP/tls.key" -out "$TMP/tls.crt" 2>"$TMP/openssl.log"
	write_nginx_config <<-END
		server {
		    listen 127.0.0.1:$TLS ssl;
		    ssl_certificate $TMP/tls.crt;
		    ssl_certificate_key $TMP/tls.key;
		    return 200 "tls\n";
		}
		server { listen 127.0.0.1:$SHOP; return 200 "shop for \$host\n"; }
		server { listen 127.0.0.1:$MAIL; return 200 "mail for \$host\n"; }
		server { listen 127.0.0.1:$REST http2; return 200 "rest\n"; }
	END
	spawn nginx nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
	wait_listening "$REST" nginx
}

# nginx speaks HTTP/2 alone on a port of that kind, so what else comes to the rest is told apart.
write_config() {
	cat >"$TMP/proxyd.yaml" <<-END
		lane: $LANE
		listeners:
		  - {name: front, address: 127.0.0.1:$FRONT}
		routes:
		  - match: {protocol: ssh}
		    upstream: ssh
		  - match: {protocol: tls}
		    upstream: tls
		  - match: {host: [shop.example.org, "*.shop.example.org", "[::1]"]}
		    upstream: shop
		  - match: {host: mail.example.org}
		    upstream: mail
		  - match: {host: echo.example.org}
		    upstream: echo
		  - match: {host: closed.example.org}
		    reject: close
		  - match: {host: "*"}
		    reject: reset
		  - match: {protocol: http}
		    upstream: rest
		upstreams:
		  - {name: ssh, endpoints: 127.0.0.1:$SSH_PORT}
		  - {name: tls, endpoints: 127.0.0.1:$TLS}
		  - {name: shop, endpoints: 127.0.0.1:$SHOP}
		  - {name: mail, endpoints: 127.0.0.1:$MAIL}
		  - {name: rest, endpoints: 127.0.0.1:$REST}
		  - {name: echo, endpoints: 127.0.0.1:$ECHO}
	END
}

page() { # CURL-OPTION...
	curl -sS --max-time 60 "$@"
}

by_host() { page -H "Host: $1" "http://127.0.0.1:$FRONT/"; } # HOST

test_host() {
	assert_equal "shop for shop.example.org" "$(by_host shop.example.org)" "page"
	assert_equal "shop for shop.example.org" "$(by_host SHOP.example.org.:8080)" "another spelling"
	assert_equal "shop for a.shop.example.org" "$(by_host a.shop.example.org)" "under a wildcard"
	assert_equal "mail for mail.example.org" "$(by_host mail.example.org)" "another page"
	assert_equal "shop for [0::1]" "$(by_host '[0::1]:80')" "an address"
	# The target goes before the Host field, for proxyd and for nginx.
	assert_equal "mail for mail.example.org" "$(page --proxy "http://127.0.0.1:$FRONT" \
		-H 'Host: shop.example.org' http://mail.example.org/)" "an absolute target"
	assert_equal "mail for mail.example.org" "$(python3 - "$FRONT" <<-'END'
		import http.client, sys
		client = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
		client.request("GET", "/", headers={"host": "Mail.Example.Org"})
		print(client.getresponse().read().decode(), end="")
	END
	)" "page for Python"
	# Over one connection the first request decides.
	assert_equal "shop for shop.example.org
shop for mail.example.org" "$(page "http://127.0.0.1:$FRONT/" -H 'Host: shop.example.org' \
		--next "http://127.0.0.1:$FRONT/" -H 'Host: mail.example.org')" "two pages"
}

test_without_host() {
	assert_equal rest "$(page --http2-prior-knowledge "http://shop.example.org:$FRONT/" \
		--resolve "shop.example.org:$FRONT:127.0.0.1")" "page by HTTP/2"
}

test_rejections() {
	local status
	status=0
	by_host closed.example.org 2>>"$TMP/curl.log" || status=$?
	assert_equal 52 "$status" "curl's exit status after a close (empty reply)"
	status=0
	by_host other.example.org 2>>"$TMP/curl.log" || status=$?
	assert_equal 56 "$status" "curl's exit status after a reset"
	assert_equal 2 "$(proxyd_status .errors.rejected)" "connections turned away"
}

# The news of the end may come before the bytes can be read: it is no reason to judge without them.
test_ends() {
	assert_equal "300 of 300" "$(python3 "$ROOT/tests/policy/hello.py" ends "$FRONT" \
		echo.example.org)" "requests whose end came with them"
}

# Both of these clients speak first.
test_one_port() {
	local i
	for i in {1..3}; do
		assert_equal "ssh $i" "$(remote echo "ssh $i")" "answer by ssh"
		assert_equal tls "$(page --insecure "https://127.0.0.1:$FRONT/")" "page by TLS"
	done
	head -c 3M /dev/urandom >"$TMP/original"
	remote cat <"$TMP/original" >"$TMP/echoed"
	assert_same_file "$TMP/original" "$TMP/echoed" "there and back by ssh"
}

start_nginx
spawn echo python3 "$ROOT/tests/peer.py" echo "$ECHO"
wait_listening "$ECHO" echo
start_sshd "$SSH_PORT" "$FRONT"
write_config
start_proxyd -c "$TMP/proxyd.yaml"
test_host
test_without_host
test_rejections
test_ends
test_one_port
assert_no_active_flows
stop_proxyd
