#!/bin/bash
# The server sees the client's address: a client and a server in namespaces of their own, and between
# them a host with proxyd, the rules of docs/transparent.md, and real programs.
#
#   source.sh kernel|relay|auto
if [[ -z ${NAMESPACE-} ]] && ((EUID == 0)); then
	NAMESPACE=ours exec unshare --net "$0" "$@"
fi
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../nginx.sh"
need_root
ip link set lo up
take_lane "$@"
need curl ip jq nft nginx nsenter python3 setpriv

PEERS=$ROOT/tests/transparent/source.py
for name in TAKEN PORTED OTHER HEADED WEB PLAIN BACK HTTP; do
	free_port "$name"
done

# ---- three hosts ----

apart() {
	local theirs
	theirs=$(readlink "/proc/$1/ns/net") && [[ $theirs != "$(readlink /proc/self/ns/net)" ]]
}
host() { # NAME NUMBER: 198.18.NUMBER.2 and fd00:NUMBER::2, with us as the gateway
	local pid
	spawn "$1" unshare --net sleep 600
	pid=$SPAWNED_PID
	wait_until 60 apart "$pid" || fail "no namespace"
	printf -v "IN_${1^^}" %s "--net=/proc/$pid/ns/net"
	ip link add "$1" type veth peer name uplink netns "$pid"
	ip address add "198.18.$2.1/24" dev "$1"
	ip address add "fd00:$2::1/64" dev "$1" nodad
	ip link set "$1" up
	nsenter "--net=/proc/$pid/ns/net" sh -ec "
		ip link set lo up
		ip address add 198.18.$2.2/24 dev uplink
		ip address add fd00:$2::2/64 dev uplink nodad
		ip link set uplink up
		ip route add default via 198.18.$2.1
		ip -6 route add default via fd00:$2::1"
}
host client 1
host server 2
client() { nsenter "$IN_CLIENT" "$@"; }
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.server.rp_filter=0

spawn echo nsenter "$IN_SERVER" python3 "$PEERS" serve "$BACK"
wait_until 60 grep -q ready "$TMP/echo.log" || fail "the server is not ready"
write_nginx_config <<END
log_format who '\$remote_addr \$remote_port \$status';
server { listen $HTTP; listen [::]:$HTTP; root $TMP/www; access_log $TMP/access.log who; }
END
head -c 3000000 /dev/urandom >"$TMP/www/file"
spawn nginx nsenter "$IN_SERVER" nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
serves() { [[ -n $(nsenter "$IN_SERVER" ss -Hltn "sport = :$HTTP") ]]; }
wait_until 60 serves || fail "nginx does not listen"

# ---- proxyd ----

cat >"$TMP/config.yaml" <<END
lane: $LANE
listeners:
  - {name: address, address: "[::]:$TAKEN"}
  - {name: ported, address: "[::]:$PORTED"}
  - {name: other, address: "[::]:$OTHER"}
  - {name: web, address: "[::]:$WEB"}
  - {name: headed, address: "[::]:$HEADED", proxy_protocol: 198.18.1.0/24}
  - {name: plain, address: "[::]:$PLAIN"}
routes:
  - {match: {listener: [address, headed], source: "fd00:1::/64"}, upstream: address6}
  - {match: {listener: [address, headed]}, upstream: address}
  - {match: {listener: [ported, other]}, upstream: ported}
  - {match: {listener: web, source: "fd00:1::/64"}, upstream: web6}
  - {match: {listener: web}, upstream: web}
  - {match: {listener: plain}, upstream: plain}
upstreams:
  - {name: address, endpoints: "198.18.2.2:$BACK", tcp: {source: clientip}, timeouts: {connect: 5s}, retries: 0}
  - {name: address6, endpoints: "[fd00:2::2]:$BACK", tcp: {source: clientip}}
  - {name: ported, endpoints: "198.18.2.2:$BACK", tcp: {source: client}}
  - {name: web, endpoints: "198.18.2.2:$HTTP", tcp: {source: client}, health: {type: http, path: /file, interval: 300ms}}
  - {name: web6, endpoints: "[fd00:2::2]:$HTTP", tcp: {source: client}}
  - {name: plain, endpoints: "198.18.2.2:$BACK"}
END
start_proxyd -c "$TMP/config.yaml"
ask() { client python3 "$PEERS" "$@"; }

# Without the rules the answers go on to the client, whose kernel knows nothing of them.
said=$(ask ask 198.18.1.1 "$TAKEN" 2>&1 || true)
[[ $said != 198.18.1.2* ]] || fail "answers find back without a rule: $said"
grep -q 'do answers to the client come back by way of this host' "$PROXYD_LOG" || fail "no hint in the log"
"$PROXYD" doctor 2>&1 | grep "client's source" | grep -q 'are not (IPv4), are not (IPv6)' ||
	fail "the doctor sees rules where there are none"

# As docs/transparent.md has them, to the letter.
# shellcheck disable=SC2016 # ``` of Markdown
sed -n '/^nft add table inet proxyd_source/,/^```/{/^```/!p}' "$ROOT/docs/transparent.md" >"$TMP/rules"
assert_equal 7 "$(wc -l <"$TMP/rules")" "rules in docs/transparent.md"
sh -e "$TMP/rules"
"$PROXYD" doctor 2>&1 | grep "client's source" | grep -q 'are delivered here (IPv4), are delivered here (IPv6)' ||
	fail "the doctor does not see the rules"

assert_equal "198.18.2.1" "$(ask ask 198.18.1.1 "$PLAIN" | cut -d ' ' -f 1)" "without tcp.source"
assert_equal 198.18.1.2 "$(ask ask 198.18.1.1 "$TAKEN" | cut -d ' ' -f 1)" "clientip"
assert_equal fd00:1::2 "$(ask ask fd00:1::1 "$TAKEN" | cut -d ' ' -f 1)" "clientip, IPv6"
read -r address port own < <(ask ask 198.18.1.1 "$PORTED")
assert_equal "198.18.1.2 $own" "$address $port" "client, with its port"

# The port is taken by the same client's first flow.
read -r address port own address2 port2 own2 < <(ask twice 198.18.1.1 "$PORTED" 198.18.1.1 "$OTHER")
assert_equal "198.18.1.2 $own $own" "$address $port $own2" "the first flow from a port"
assert_equal 198.18.1.2 "$address2" "the second flow from a port"
[[ $port2 != "$own2" ]] || fail "two connections with one tuple"

# Whom a PROXY header names; a client of the other family has no address to take.
assert_equal 203.0.113.9 "$(ask named 198.18.1.1 "$HEADED" 203.0.113.9 | cut -d ' ' -f 1)" "named by a header"
said=$(ask ask fd00:1::1 "$PORTED" 2>&1 || true)
[[ $said != 198.18.* ]] || fail "an IPv6 client became $said"
grep -q 'the client has no address of that family' "$PROXYD_LOG" || fail "no word of the family"

# Byte-exact, with nginx's word for whom it served; its checks are proxyd's own.
for url in 198.18.1.1 '[fd00:1::1]'; do
	own=$(client curl -sS --max-time 60 -o "$TMP/got" -w '%{local_port}' "http://$url:$WEB/file")
	assert_same_file "$TMP/www/file" "$TMP/got" "download from $url"
	address=${url/.1.1/.1.2}
	address=${address/::1/::2}
	address=${address//[\[\]]/}
	wait_until 60 grep -qx "$address $own 200" "$TMP/access.log" || fail "nginx saw: $(grep -v 198.18.2.1 "$TMP/access.log")"
done
wait_until 60 grep -q '^198.18.2.1 [0-9]* 200$' "$TMP/access.log" || fail "no check from proxyd's own address"
assert_no_active_flows
stop_proxyd

# Without the capability.
[[ $LANE != kernel ]] || exit 0
PROXYD_PREFIX=(setpriv "--bounding-set=-net_admin,-net_raw" "--inh-caps=-net_admin,-net_raw")
start_proxyd -c "$TMP/config.yaml" --lane relay
ask ask 198.18.1.1 "$TAKEN" >"$TMP/refused.log" 2>&1 || true
grep -q "Operation not permitted (tcp.source: the client's address takes CAP_NET_ADMIN or CAP_NET_RAW)" "$PROXYD_LOG" ||
	fail "no word of the capability: $(tail -n 2 "$PROXYD_LOG")"
stop_proxyd
