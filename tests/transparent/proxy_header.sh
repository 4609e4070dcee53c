#!/bin/bash
# PROXY protocol headers: taken off where a trusted peer sends one, sent where a server wants one.
#
#   proxy_header.sh kernel|relay|auto
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../nginx.sh"
take_lane "$@"
need curl haproxy jq nginx python3

PEERS=$ROOT/tests/transparent/proxy_header.py
free_port BACK
free_port TRUSTING
free_port MIXED
free_port TIMED
free_port CHAINED
free_port MIRRORED
free_port SHADOW
free_port OUT
free_port WEB
free_port FROM_HAPROXY
free_port BEHIND_HAPROXY
free_port TO_NGINX
free_port TO_HAPROXY
free_port HAPROXY_TAKES

# The chain: chained takes a header, sends another to `trusting`, which sends the last to the server.
cat >"$TMP/proxyd.yaml" <<END
lane: $LANE
listeners:
  - name: trusting
    address: 127.0.0.1:$TRUSTING
    proxy_protocol: {from: [127.0.0.0/30]}
    deny: 198.51.100.0/24
  - name: mixed
    address: 127.0.0.1:$MIXED
    proxy_protocol: {from: 127.0.0.1, others: pass}
  - name: timed
    address: 127.0.0.1:$TIMED
    proxy_protocol: {from: 127.0.0.1, timeout: 300ms}
  - name: chained
    address: 127.0.0.1:$CHAINED
    proxy_protocol: 127.0.0.1
  - {name: mirrored, address: "127.0.0.1:$MIRRORED", proxy_protocol: 127.0.0.1}
  - {name: to-nginx, address: "127.0.0.1:$TO_NGINX"}
  - {name: to-haproxy, address: "127.0.0.1:$TO_HAPROXY"}
  - {name: behind-haproxy, address: "127.0.0.1:$BEHIND_HAPROXY", proxy_protocol: 127.0.0.1}
routes:
  - {match: {listener: [to-nginx, behind-haproxy]}, upstream: nginx}
  - {match: {listener: to-haproxy}, upstream: haproxy}
  - {match: {listener: chained}, upstream: chain}
  - {match: {listener: mirrored}, upstream: server, mirror: shadow}
  - {match: {destination: 203.0.113.77}, reject: reset}
  - {upstream: server}
upstreams:
  - {name: server, endpoints: "127.0.0.1:$BACK", proxy_protocol: v1}
  - {name: shadow, endpoints: "127.0.0.1:$SHADOW", proxy_protocol: v1}
  - {name: chain, endpoints: "127.0.0.1:$TRUSTING", proxy_protocol: v2}
  - name: nginx
    endpoints: 127.0.0.1:$WEB
    proxy_protocol: v2
    health: {type: http, interval: 100ms, timeout: 20s}
  - {name: haproxy, endpoints: "127.0.0.1:$HAPROXY_TAKES", proxy_protocol: v2, health: {type: tcp, timeout: 20s}}
END

# nginx says whom it takes for the client.
write_nginx_config <<END
log_format checks '\$http_user_agent from \$proxy_protocol_addr is \$status';
server {
    listen 127.0.0.1:$WEB proxy_protocol;
    access_log $TMP/access.log checks;
    return 200 "\$proxy_protocol_addr to \$proxy_protocol_server_port\n";
}
END
spawn nginx nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
cat >"$TMP/haproxy.cfg" <<END
defaults
    mode http
    timeout connect 5s
    timeout client 10s
    timeout server 10s
listen sends
    bind 127.0.0.1:$FROM_HAPROXY
    mode tcp
    server proxyd 127.0.0.1:$BEHIND_HAPROXY send-proxy-v2
frontend takes
    bind 127.0.0.1:$HAPROXY_TAKES accept-proxy
    http-request return status 200 content-type text/plain lf-string "%[src] to %[dst_port]\n"
END
spawn haproxy haproxy -db -f "$TMP/haproxy.cfg"
spawn server python3 "$PEERS" serve "$BACK"
spawn shadow python3 "$PEERS" serve "$SHADOW"
wait_listening "$BACK" "the server"
wait_listening "$SHADOW" "the mirror"
wait_listening "$WEB" nginx
wait_listening "$HAPROXY_TAKES" haproxy

start_proxyd -c "$TMP/proxyd.yaml"
python3 "$PEERS" check "$TRUSTING" "$MIXED" "$TIMED" "$CHAINED"
assert_no_active_flows
say "errors: $(proxyd_status '.errors | tojson')"
assert_equal 11 "$(proxyd_status .errors.proxy_header)" "peers whose header was refused"
assert_equal 1 "$(proxyd_status .errors.denied)" "clients denied"
for line in "is not among those that proxy_protocol.from believes" "but what it sent is none" \
	"ended within its PROXY header" "has sent no whole PROXY header in time"; do
	grep -q "listener .*: 127.0.0.[19]:[0-9]* .*$line" "$PROXYD_LOG" || fail "no line says '$line'"
done

# A mirror is told too.
exec {ours}<>"/dev/tcp/127.0.0.1/$MIRRORED"
printf 'PROXY TCP4 192.0.2.7 203.0.113.9 4711 443\r\nhello' >&"$ours"
exec {ours}>&-
wanted="PROXY TCP4 192.0.2.7 203.0.113.9 4711 443 5 $(printf hello | sha256sum | cut -d ' ' -f 1)"
wait_until 60 grep -qxF "$wanted" "$TMP/shadow.log" || fail "the mirror got: $(cat "$TMP/shadow.log")"

get() { curl -sS --max-time 60 --interface 127.0.0.5 "http://127.0.0.1:$1/"; }
assert_equal "127.0.0.5 to $TO_NGINX" "$(get "$TO_NGINX")" "the client that nginx sees"
assert_equal "127.0.0.5 to $TO_HAPROXY" "$(get "$TO_HAPROXY")" "the client that HAProxy sees"
assert_equal "127.0.0.5 to $FROM_HAPROXY" "$(get "$FROM_HAPROXY")" "the client behind HAProxy"

# The checks of what takes headers alone begin with one, which names nobody.
checked() { grep -q '^proxyd/.*from - is 200$' "$TMP/access.log"; }
wait_until 60 checked || fail "no check of nginx has gone well: $(tail -n 3 "$TMP/access.log")"
! grep " down" "$PROXYD_LOG" || fail "a server that is well was found to be down"
say "bytes: $(proxyd_status '.bytes | tojson')"
stop_proxyd
