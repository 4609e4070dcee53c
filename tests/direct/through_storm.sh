#!/bin/bash
# storm through proxyd with the direct lane, over IPv4 and IPv6: no byte lost, doubled, reordered or
# foreign, no hang, no wrong close. Whatever is eligible is paired at once, bulk too, so that all ways
# of a message alternate.
#
#   through_storm.sh relay|kernel|auto [calm|churn]
#     the lane beneath
#     calm    nothing else (default)
#     churn   everybody leaves the direct lane each second, and comes back; flows move at random
#             between the lanes beneath
#
#   CONNECTIONS  for each address family (default 4000)
#   SEED         of storm and of the lane switches (default random, printed)
. "$(dirname "$0")/through_lib.sh"
TOOLS=${TOOLS:-$BUILD/tests/storm}
[[ -x $TOOLS/storm ]] || fail "$TOOLS/storm is not there: build it first"
take_lane "$@"
MODE=${2:-calm}
TEST=$TEST.$MODE
DEFAULT=4000
((QUICK == 0)) || DEFAULT=1000
CONNECTIONS=${CONNECTIONS:-$DEFAULT}
SEED=${SEED:-$SRANDOM}
OPTIONS=(--lane "$LANE" --direct-lane --pin "$PIN" --debug-direct-eager)
[[ $MODE != churn ]] || OPTIONS+=(--debug-switch-lanes "$SEED")

begin_through

run_storm() { # ADDRESS SEED
	"$TOOLS/storm" --connect "$1:$FRONT" --listen "$1:$BACKEND" --connections "$CONNECTIONS" \
		--concurrency 100 --seed "$2" --except urgent >"$TMP/storm.log" ||
		fail "$1, seed $2: $(grep BAD "$TMP/storm.log" | head -n 5) $(tail -n 1 "$TMP/storm.log")"
	DIRECT=$(proxyd_status .bytes.direct)
	say "$1, seed $2: $(tail -n 1 "$TMP/storm.log"), $DIRECT bytes direct"
}

# The access log has a line for each flow, and their bytes are those of the status: but for what somebody
# sends in the very moment in which his flow is cut off.
check_log() {
	local sums
	assert_equal 0 "$(proxyd_status '.access_log | .dropped + .failed')" "lines of the access log that are missing"
	sums=$(proxyd_status .bytes)
	wait_until 60 all_logged || fail "not $(proxyd_status .flows.total) lines: $(wc -l <"$TMP/access.log")"
	jq -s -e --argjson sums "$sums" 'def near($had): . <= $had and . >= $had * 0.99;
		map(.bytes) | (map(.up.direct) | add | near($sums.up.direct)) and
			(map(.down.direct) | add | near($sums.down.direct)) and
			(map(.kernel) | add | near($sums.kernel)) and (map(.relay) | add | near($sums.relay))' \
		"$TMP/access.log" >/dev/null || fail "other bytes than $sums: $(jq -s -c 'map(.bytes) |
			[(map(.up.direct) | add), (map(.down.direct) | add), (map(.kernel) | add), (map(.relay) | add)]' "$TMP/access.log")"
	rm "$TMP/access.log"
}
all_logged() { [[ $(wc -l <"$TMP/access.log") == $(proxyd_status .flows.total) ]]; }

for address in 127.0.0.1 '[::1]'; do
	cat >"$TMP/storm.yaml" <<-END
		access_log: $TMP/access.log
		listeners: ["$address:$FRONT"]
		upstreams: [{name: backend, endpoints: ["$address:$BACKEND"]}]
		routes: [{upstream: backend}]
	END
	start_proxyd -c "$TMP/storm.yaml" "${OPTIONS[@]}"
	DIRECT=0
	# Sockets that may receive urgent bytes are not eligible. On a machine that is busy enough no
	# scan may come in time: once more, then.
	for ((round = 0; round < 5 && DIRECT < 1000000; round++)); do
		run_storm "$address" $((SEED + round))
	done
	assert_number "$DIRECT" -ge 1000000 "bytes that went direct"
	assert_no_active_flows
	check_log
	stop_proxyd
	assert_nothing_pinned
done
