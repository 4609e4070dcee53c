#!/bin/bash
# storm through proxyd with a mirror, or with limits of bandwidth: no byte lost, doubled, reordered or
# foreign, no hang, no wrong close.
#
#   storm.sh kernel|relay|auto mirror|bandwidth
#
#   CONNECTIONS  default 2000
#   SEED         default random, printed
. "$(dirname "$0")/../lib.sh"
STORM=$BUILD/tests/storm/storm
[[ -x $STORM ]] || fail "$STORM is not there: build it first"
take_lane "$@"
need python3
WEATHER=${2:?"usage: $TEST.sh kernel|relay|auto mirror|bandwidth"}
TEST=$TEST.$WEATHER
CONNECTIONS=${CONNECTIONS:-2000}
((QUICK == 0)) || CONNECTIONS=400
SEED=${SEED:-$SRANDOM}
CONFIG=$TMP/config.yaml
free_port FRONT
free_port BACK
free_port SHADOW
limits='' mirror=''

case $WEATHER in
mirror)
	mirror=', mirror: shadow'
	spawn shadow python3 "$ROOT/tests/policy/mirror.py" shadow "$SHADOW" keep
	wait_listening "$SHADOW" "the mirror"
	;;
bandwidth) limits=', limits: {bandwidth: 60MB, flow_bandwidth: 20MB}' ;;
*) fail "$WEATHER: want mirror or bandwidth" ;;
esac

cat >"$CONFIG" <<END
lane: $LANE
listeners: {name: front, address: "127.0.0.1:$FRONT"$limits}
routes: {upstream: storm$mirror}
upstreams:
  - {name: storm, endpoints: "127.0.0.1:$BACK"}
  - {name: shadow, endpoints: "127.0.0.1:$SHADOW"}
END
start_proxyd -c "$CONFIG"
storm_through "127.0.0.1:$FRONT" "127.0.0.1:$BACK"
if [[ $WEATHER == mirror ]]; then
	say "mirrors: $(proxyd_status '.mirrors | tojson')"
	assert_equal "$(proxyd_status .flows.total)" "$(proxyd_status .mirrors.total)" "mirrors"
	assert_number "$(proxyd_status .mirrors.bytes)" -gt 0 "bytes mirrored"
	# It has not kept up, or it has got everything.
	[[ $(proxyd_status '.mirrors.lost | add') != 0 ]] ||
		assert_equal 0 "$(proxyd_status .mirrors.dropped)" "bytes dropped by mirrors that kept up"
fi
stop_proxyd
