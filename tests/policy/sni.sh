#!/bin/bash
# Routes by what a ClientHello says, from real TLS clients to real servers: each has a certificate for
# its own names alone, so that a wrong turn fails in the handshake.
#
#   sni.sh kernel|relay|auto
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../nginx.sh"
take_lane "$@"
need openssl curl nginx python3

free_port FRONT
free_port SMALL # looks at few bytes only
free_port HASTY # does not wait for them
free_port SHOP
free_port SHOP2
free_port MAIL
free_port REST
free_port ECHO
CA=$TMP/certificates

make_certificate() { # FILE NAME...
	local file=$1
	shift
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" \
		-addext "subjectAltName=$(printf ',DNS:%s' "$@" | cut -c 2-)" \
		-keyout "$TMP/$file.key" -out "$TMP/$file.crt" 2>>"$TMP/openssl.log"
	cat "$TMP/$file.crt" >>"$CA"
}

# Two certificates, each on ports of its own.
start_nginx() {
	write_nginx_config <<-END
		ssl_certificate $TMP/shop.crt;
		ssl_certificate_key $TMP/shop.key;
		server { listen 127.0.0.1:$SHOP ssl; return 200 "shop\n"; }
		server { listen 127.0.0.1:$SHOP2 ssl http2; return 200 "shop by h2\n"; }
		server {
		    listen 127.0.0.1:$MAIL ssl;
		    ssl_certificate $TMP/mail.crt;
		    ssl_certificate_key $TMP/mail.key;
		    return 200 "mail\n";
		}
	END
	spawn nginx nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
	wait_listening "$MAIL" nginx
}

start_others() {
	echo rest >"$TMP/page"
	(cd "$TMP" && spawn s_server openssl s_server -accept "127.0.0.1:$REST" -cert rest.crt \
		-key rest.key -WWW && echo "$SPAWNED_PID" >pid)
	SPAWNED+=("$(<"$TMP/pid") s_server")
	wait_listening "$REST" s_server
	spawn echo python3 "$ROOT/tests/peer.py" echo "$ECHO"
	wait_listening "$ECHO" echo
}

write_config() {
	cat >"$TMP/proxyd.yaml" <<-END
		lane: $LANE
		listeners:
		  - {name: front, address: 127.0.0.1:$FRONT, inspect: {timeout: 1m, size: 64KiB}}
		  - {name: small, address: 127.0.0.1:$SMALL, inspect: {timeout: 1m, size: 1KiB}}
		  - {name: hasty, address: 127.0.0.1:$HASTY, inspect: {timeout: 500ms}}
		routes:
		  - match: {sni: shop.example.org, alpn: h2}
		    upstream: shop-h2
		  - match: {sni: [shop.example.org, "*.shop.example.org"]}
		    upstream: shop
		  - match: {sni: mail.example.org}
		    upstream: mail
		  - match: {sni: closed.example.org}
		    reject: close
		  - match: {protocol: tls}
		    upstream: rest
		  - match: {protocol: other}
		    upstream: echo
		upstreams:
		  - {name: shop, endpoints: 127.0.0.1:$SHOP}
		  - {name: shop-h2, endpoints: 127.0.0.1:$SHOP2}
		  - {name: mail, endpoints: 127.0.0.1:$MAIL}
		  - {name: rest, endpoints: 127.0.0.1:$REST}
		  - {name: echo, endpoints: 127.0.0.1:$ECHO}
	END
}

# ---- clients ----

page() { # NAME [CURL-OPTION...]
	local name=$1
	shift
	curl -sS --max-time 60 --http1.1 --cacert "$CA" --resolve "$name:$FRONT:127.0.0.1" "$@" \
		"https://$name:$FRONT/page"
}

hello() { # MODE [PORT]
	python3 "$ROOT/tests/policy/hello.py" "$1" "${2:-$FRONT}" "$CA" shop.example.org
}

# The name on the certificate that the server has shown.
s_client() { # OPTION...
	timeout 60 openssl s_client -connect "127.0.0.1:$FRONT" "$@" </dev/null 2>>"$TMP/s_client.log" |
		sed -nE 's/^subject=.*CN *= *//p'
}

raw() { timeout 60 python3 "$ROOT/tests/policy/hello.py" raw "$FRONT"; }

# ---- tests ----

test_curl() {
	local name
	for name in shop mail; do
		assert_equal "$name" "$(page "$name.example.org")" "page of $name.example.org"
	done
	assert_equal "shop by h2" "$(page shop.example.org --http2)" "page of the shop by HTTP/2"
	assert_equal shop "$(page north.shop.example.org)" "page under a wildcard"
	assert_equal rest "$(page a.north.shop.example.org --insecure)" "page two labels under a wildcard"
	assert_equal rest "$(page other.example.org --insecure)" "page of a name that no route knows"
}

test_openssl() {
	assert_equal shop.example.org "$(s_client -servername shop.example.org)" "certificate"
	assert_equal shop.example.org "$(s_client -servername Shop.EXAMPLE.org.)" "another spelling"
	assert_equal mail.example.org "$(s_client -servername mail.example.org -tls1_2)" "TLS 1.2"
	assert_equal rest.example.org "$(s_client -noservername)" "certificate without a name"
	assert_equal "" "$(s_client -servername closed.example.org)" "a name that is turned away"
}

test_fragments() {
	assert_equal shop "$(hello split 2>"$TMP/splits")" "page after a ClientHello in two parts"
	say "$(<"$TMP/splits")"
	assert_equal shop "$(PAUSE=0.001 hello bytes)" "page after a ClientHello byte by byte"
	assert_equal shop "$(hello records)" "page after a ClientHello in records of one byte"
	assert_equal shop "$(hello large)" "page after a ClientHello of over 32 KiB"
	# OpenSSL's has the name in front: what is beyond the limit does not matter.
	assert_equal shop "$(hello large "$SMALL")" "page after a ClientHello beyond the limit"
}

# Comes back as it was: nothing was taken on the way.
test_garbage() {
	local name
	head -c 100000 /dev/urandom | sed '1s/^/\xff/' >"$TMP/random"
	printf '\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10\x01\x00\x80' >"$TMP/sslv2"
	printf '\x16\x03\x01\x40\x01\x01\x00\x00\x05hello' >"$TMP/record-too-large"
	printf '\x16\x03\x01\x00\x09\x02\x00\x00\x05hello' >"$TMP/server-hello"
	printf 'SET key value\r\n' >"$TMP/redis"
	printf 'x' >"$TMP/one-letter" # may be HTTP, until its end
	printf '' >"$TMP/nothing"
	for name in random sslv2 record-too-large server-hello redis one-letter nothing; do
		raw <"$TMP/$name" >"$TMP/$name.answer"
		assert_same_file "$TMP/$name" "$TMP/$name.answer" "echo of $name"
	done
}

connected_to_echo() { [[ $(proxyd_status '.upstreams.echo.endpoints[0].flows') == 1 ]]; }

# A client that says nothing is let through when the time is up. One that speaks HTTP, which no route
# is for, is reset.
test_others() {
	exec 3<>"/dev/tcp/127.0.0.1/$HASTY"
	wait_until 60 connected_to_echo || fail "a client that says nothing waits"
	echo late >&3
	read -r -t 60 answer <&3 || fail "no answer to a client that began late"
	exec 3>&-
	assert_equal late "$answer" "answer to a client that began late"
	! curl -s --max-time 10 "http://127.0.0.1:$FRONT/" >/dev/null || fail "a page by HTTP"
	assert_equal 1 "$(proxyd_status .errors.no_route)" "connections without a route"
	assert_equal 1 "$(proxyd_status .errors.rejected)" "connections turned away"
}

make_certificate shop shop.example.org '*.shop.example.org'
make_certificate mail mail.example.org
make_certificate rest rest.example.org
start_nginx
start_others
write_config
start_proxyd -c "$TMP/proxyd.yaml"
test_curl
test_openssl
test_fragments
test_garbage
test_others
assert_no_active_flows
stop_proxyd
