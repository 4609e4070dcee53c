#!/bin/bash
# storm through proxyd, over IPv4 and IPv6: no byte lost, doubled, reordered or foreign, no hang, no
# wrong close.
#
#   storm.sh kernel|relay|auto [calm|stress|switch]
#     calm     nothing else (default)
#     stress   twice as many busy loops as there are cores
#     switch   proxyd moves flows between lanes, and gathers streams, at random
#
#   CONNECTIONS  for each address family (default 20000; 5000 under stress)
#   SEED         of storm and of the lane switches (default random, printed)
. "$(dirname "$0")/../lib.sh"
STORM=${TOOLS:-$ROOT/build/release/tests/storm}/storm
[[ -x $STORM ]] || fail "$STORM is not there: build it first"
take_lane "$@"
WEATHER=${2:-calm}
TEST=$TEST.$WEATHER
DEFAULT=20000
[[ ${2:-calm} != stress ]] || DEFAULT=5000
((QUICK == 0)) || DEFAULT=1500
CONNECTIONS=${CONNECTIONS:-$DEFAULT}
SEED=${SEED:-$SRANDOM}

free_port FRONT4
free_port FRONT6
free_port BACK4
free_port BACK6
OPTIONS=(--lane "$LANE")

case $WEATHER in
calm) ;;
stress)
	for ((i = 0; i < 2 * $(nproc); i++)); do
		spawn "stress-$i" bash -c 'while :; do :; done'
	done
	;;
switch) OPTIONS+=(--debug-switch-lanes "$SEED") ;;
*) fail "$WEATHER: want calm, stress or switch" ;;
esac

through() { # ADDRESS FRONT BACK
	start_proxyd --listen "$1:$2" --upstream "$1:$3" "${OPTIONS[@]}"
	storm_through "$1:$2" "$1:$3"
	[[ $WEATHER == switch ]] || assert_carried 1 20
	stop_proxyd
}

through 127.0.0.1 "$FRONT4" "$BACK4"
through '[::1]' "$FRONT6" "$BACK6"
