#!/bin/bash
# storm through what brings connections to proxyd, over IPv4 and IPv6: no byte lost, doubled, reordered
# or foreign, no hang, no wrong close.
#
#   modes_storm.sh redirect|tproxy|steer LANE
#
#   CONNECTIONS  for each address family (default 1500)
#   SEED         of storm (default random, printed)
set -euo pipefail
. "$(dirname "$0")/net.sh"
STORM=$BUILD/tests/storm/storm
[[ -x $STORM ]] || fail "$STORM is not there: build it first"
MODE=${1:?"usage: $TEST.sh redirect|tproxy|steer LANE"}
TEST=$TEST.$MODE
shift
take_lane "$@"
CONNECTIONS=${CONNECTIONS:-1500}
SEED=${SEED:-$SRANDOM}
LISTEN=15001 ASKED=7000 SERVER=7000
ROUTE="{original_destination: true}"

case $MODE in
redirect) INTERCEPT="mode: redirect, traffic: local" ;;
tproxy) INTERCEPT="mode: tproxy, traffic: inbound" ;;
# proxyd's own connections would come back.
steer) INTERCEPT="mode: steer" ROUTE="{upstream: server}" SERVER=7001 ;;
*) fail "$MODE: no such mode" ;;
esac

through() { # ADDRESS
	cat >"$TMP/proxyd.yaml" <<-END
		lane: $LANE
		listeners:
		  - address: "$1:$LISTEN"
		    intercept: {$INTERCEPT, interfaces: [lo], ports: [$ASKED]}
		upstreams:
		  - {name: server, endpoints: "$1:$SERVER"}
		routes: [$ROUTE]
	END
	start_proxyd -c "$TMP/proxyd.yaml"
	storm_through "$1:$ASKED" "$1:$SERVER"
	# Or it went past proxyd.
	assert_number "$(proxyd_status .flows.total)" -ge "$CONNECTIONS" "flows through proxyd"
	assert_carried 1 20
	stop_proxyd
}

through 127.0.0.1
through '[::1]'
# Every handshake with a SYN cookie: no socket knows of it until it is over.
cookies() { nstat -asz TcpExtSyncookiesRecv | awk '/Syncookies/ { print $2 }'; }
sysctl -q net.ipv4.tcp_syncookies=2
CONNECTIONS=$((CONNECTIONS / 5))
through 127.0.0.1
through '[::1]'
assert_number "$(cookies)" -ge "$((2 * CONNECTIONS))" "handshakes with a SYN cookie"
