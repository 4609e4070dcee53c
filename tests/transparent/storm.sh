#!/bin/bash
# storm through a chain in which each hop tells the next who the client is: PROXY headers injected and
# removed at random places of the segments, no byte lost, doubled, reordered or foreign, no hang, no wrong
# close.
#
#   storm.sh kernel|relay|auto [calm|switch]
#
#   CONNECTIONS  default 1500
#   SEED         default random, printed
. "$(dirname "$0")/../lib.sh"
STORM=$BUILD/tests/storm/storm
[[ -x $STORM ]] || fail "$STORM is not there: build it first"
take_lane "$@"
WEATHER=${2:-calm}
TEST=$TEST.$WEATHER
CONNECTIONS=${CONNECTIONS:-1500}
((QUICK == 0)) || CONNECTIONS=300
SEED=${SEED:-$SRANDOM}
free_port FRONT
free_port MIDDLE
free_port LAST
free_port BACK
OPTIONS=()
case $WEATHER in
calm) ;;
switch) OPTIONS+=(--debug-switch-lanes "$SEED") ;;
*) fail "$WEATHER: want calm or switch" ;;
esac

cat >"$TMP/config.yaml" <<END
lane: $LANE
listeners:
  - {name: front, address: "127.0.0.1:$FRONT"}
  - {name: middle, address: "127.0.0.1:$MIDDLE", proxy_protocol: 127.0.0.1}
  - {name: last, address: "127.0.0.1:$LAST", proxy_protocol: 127.0.0.1}
routes:
  - {match: {listener: front}, upstream: middle}
  - {match: {listener: middle}, upstream: last}
  - {upstream: storm}
upstreams:
  - {name: middle, endpoints: "127.0.0.1:$MIDDLE", proxy_protocol: v2}
  - {name: last, endpoints: "127.0.0.1:$LAST", proxy_protocol: v1}
  - {name: storm, endpoints: "127.0.0.1:$BACK"}
END
start_proxyd -c "$TMP/config.yaml" "${OPTIONS[@]}"
storm_through "127.0.0.1:$FRONT" "127.0.0.1:$BACK"
assert_equal 0 "$(proxyd_status .errors.proxy_header)" "headers that were refused"
[[ $WEATHER == switch ]] || assert_carried 1 20
stop_proxyd
