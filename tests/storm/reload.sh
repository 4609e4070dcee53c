#!/bin/bash
# storm through proxyd while its config is reloaded again and again, each time with other settings, and
# while an endpoint is drained, brought back and given other weights, over IPv4 and IPv6: no byte lost,
# doubled, reordered or foreign, no hang, no wrong close, no connection turned away.
#
#   reload.sh kernel|relay|auto [calm|switch|enrol|odd]
#     calm     nothing else (default)
#     switch   proxyd moves flows between lanes, and gathers streams, at random
#     enrol    proxyd finds no cgroup v2: it enrols sockets itself
#     odd      also with small buffers and windows, and delays of small segments; takes longer
#
# About half of the flows go through proxyd twice, with a PROXY header between.
#
#   CONNECTIONS  for each address family (default 600)
#   SEED         of storm and of the settings (default random, printed)
. "$(dirname "$0")/../lib.sh"
STORM=$BUILD/tests/storm/storm
[[ -x $STORM ]] || fail "$STORM is not there: build it first"
take_lane "$@"
need jq python3
WEATHER=${2:-calm}
TEST=$TEST.$WEATHER
DEFAULT=600
((QUICK == 0)) || DEFAULT=100
CONNECTIONS=${CONNECTIONS:-$DEFAULT}
SEED=${SEED:-$SRANDOM}
RANDOM=$SEED
CONFIG=$TMP/proxyd.yaml
for name in FRONT INNER SECOND BACK SHADOW; do
	free_port "$name"
done

OPTIONS=() BUFFERS=(64KiB 100kB 256KiB 1MiB 8MiB) NODELAY=(true)
ENROLMENT=sock_ops WINDOWS=(256KiB 1MiB 4MiB)
case $WEATHER in
calm) ;;
switch) OPTIONS=(--debug-switch-lanes "$SEED") ;;
odd) BUFFERS+=(1 4KiB 16KiB 1GiB) NODELAY+=(false) WINDOWS+=(64KiB) ;;
enrol)
	need_root
	need unshare
	ENROLMENT=proxyd
	# shellcheck disable=SC2016 # for the shell inside
	PROXYD_PREFIX=(unshare --mount sh -c 'mount --bind /dev/null "/proc/$$/cgroup" && exec "$@"' sh)
	;;
*) fail "$WEATHER: want calm, switch, enrol or odd" ;;
esac
[[ $LANE == kernel ]] || ENROLMENT=proxyd

# ---- settings ----

# No subshells: in those, RANDOM would begin anew.
pick() { # VAR VALUE...
	local at=$((RANDOM % ($# - 1) + 2))
	printf -v "$1" %s "${!at}"
}

chance() { ((RANDOM % 100 < $1)); } # PERCENT

# Adds "KEY: VALUE, " to TEXT, or nothing.
maybe() { # PERCENT KEY VALUE...
	local value
	chance "$1" || return 0
	pick value "${@:3}"
	TEXT+="$2: $value, "
}

# What ends no flow that a busy machine has forgotten for some seconds.
tcp() {
	TEXT+="tcp: {"
	maybe 50 send_buffer "${BUFFERS[@]}"
	[[ $WEATHER != odd ]] || maybe 50 receive_buffer "${BUFFERS[@]}"
	maybe 50 nodelay "${NODELAY[@]}"
	maybe 40 keepalive 0 1s "{idle: 1s, interval: 2s, count: 100}" 1h
	maybe 30 user_timeout 2m 1h
	TEXT+="}, "
}

timeouts() {
	TEXT+="timeouts: {"
	maybe 50 connect 0 30s
	maybe 50 idle 0 1m 1h
	maybe 30 lifetime 0 10m
	TEXT+="}, "
}

listener() { # NAME PORT MORE
	TEXT="name: $1, address: \"$HOST:$2\", $3"
	tcp
	# Else whoever waits for the server to speak would wait for 5 s.
	maybe 100 inspect "{timeout: 20ms, size: 1KiB}" "{timeout: 100ms}"
	TEXT+="limits: {"
	maybe 30 max_flows 0 100000
	maybe 30 max_flows_per_source 0 100000
	maybe 30 rate_per_source 0 1000000
	maybe 10 bandwidth 500MB
	maybe 15 flow_bandwidth 100MB
	maybe 30 action reject queue
	LISTENERS+=("  - {$TEXT}}")
}

# They change places too.
listeners() {
	local i
	LISTENERS=()
	listener front "$FRONT" ''
	listener inner "$INNER" 'proxy_protocol: {from: [127.0.0.0/8, "::1"]}, '
	SECOND_IS_THERE=0
	chance 50 && SECOND_IS_THERE=1 && listener second "$SECOND" ''
	for ((i = RANDOM % ${#LISTENERS[@]}; i > 0; i--)); do
		LISTENERS=("${LISTENERS[@]:1}" "${LISTENERS[0]}")
	done
}

route() { # MATCH UPSTREAM...
	TEXT="  - {$1"
	maybe 100 upstream "${@:2}"
	maybe 25 mirror shadow nowhere
	ROUTES+=("$TEXT}")
}

routes() {
	ROUTES=()
	chance 70 || ROUTES+=("  - {match: {sni: nobody.example}, reject: reset}")
	chance 70 || ROUTES+=("  - {match: {source: 192.0.2.0/24}, reject: close}")
	route "match: {listener: front}, " pool hop
	route "" pool
}

upstreams() {
	local weight
	TEXT=""
	maybe 80 balance round_robin least_connections random_two source_hash maglev
	maybe 40 slow_start 0 50ms 5s
	maybe 40 ejection 0 5 "{failures: 1, time: 50ms, time_max: 100ms}"
	maybe 40 retries 0 8
	tcp
	timeouts
	pick weight 1 2 100 256
	POOL="$TEXT endpoints: [{address: \"$ONE\", weight: $weight}"
	pick weight 0 1 2 256
	chance 25 || POOL+=", {address: \"$TWO\", weight: $weight}"
	TEXT=""
	maybe 100 proxy_protocol v1 v2
	tcp
	timeouts
}

write_config() {
	listeners
	routes
	upstreams
	{
		echo "lane: $LANE"
		echo "workers: $WORKERS"
		echo "window: $SIZE"
		if chance 50; then
			echo "access_log: {to: $TMP/access, flows: all}"
		fi
		printf '%s\n' listeners: "${LISTENERS[@]}" routes: "${ROUTES[@]}" upstreams:
		echo "  - {name: pool, $POOL]}"
		echo "  - {name: hop, $TEXT endpoints: \"$HOST:$INNER\"}"
		echo "  - {name: shadow, endpoints: \"127.0.0.1:$SHADOW\"}"
		echo "  - {name: nowhere, endpoints: \"127.0.0.1:1\"}"
	} >"$CONFIG.next"
	mv "$CONFIG.next" "$CONFIG"
}

# ---- changes ----

order() { # COMMAND...
	"$PROXYD" "$@" --control "$CONTROL" 2>"$TMP/order.log" && return
	# The last reload may have taken it away, and a flow may still hold it, or not.
	[[ $* == *"pool/$TWO"* ]] && grep -q "pool" "$TMP/order.log" && return
	cat "$CONFIG" >&2
	fail "proxyd $*: $(cat "$TMP/order.log"), seed $SEED"
}

change() {
	local weight
	write_config
	order reload
	CHANGES=$((CHANGES + 1))
	pick weight 0 1 7 256
	case $((RANDOM % 5)) in
	0) order drain "pool/$TWO" ;;
	1) order drain "pool/$TWO" --undo ;;
	2) order set weight "pool/$TWO" "$weight" ;;
	3) ((SECOND_IS_THERE == 0)) || order drain second ;;
	*) ;;
	esac
}

storm() { # ARGUMENT...
	local log="$TMP/storm.log" storm result=0
	CHANGES=0
	spawn storm "$STORM" --connect "$HOST:$FRONT" --seed "$SEED" "$@"
	storm=$SPAWNED_PID
	while alive "$storm"; do
		change
		sleep "0.$((10 + RANDOM % 20))"
	done
	wait "$storm" || result=$?
	forget "$storm"
	if ((result)); then
		proxyd_status . >&2 || true
		cat "$CONFIG" >&2
		fail "$HOST: $(tail -n 1 "$log"), window $SIZE, seed $SEED"
	fi
	say "$HOST, seed $SEED: $CHANGES reloads, $(tail -n 1 "$log"); $(tail -n 2 "$log" | head -n 1)"
}

through() { # HOST STORM-LISTENS ENDPOINT ENDPOINT
	HOST=$1 ONE=$3:$BACK TWO=$4:$BACK
	WORKERS=$((RANDOM % 3 + 1)) # taken at the start only, as the window is
	pick SIZE "${WINDOWS[@]}"
	write_config
	start_proxyd -c "$CONFIG" "${OPTIONS[@]}"
	assert_equal "$ENROLMENT" "$(proxyd_status .kernel_lane.enrolment)" "who enrols"
	storm --listen "$2:$BACK" --connections "$CONNECTIONS"
	[[ $WEATHER == odd ]] ||
		storm --listen "$2:$BACK" --only upload-past --connections $((CONNECTIONS / 10 + 1))
	assert_no_active_flows
	say "bytes: kernel $(proxyd_status .bytes.kernel), relay $(proxyd_status .bytes.relay)"
	stop_proxyd
}

spawn shadow python3 "$ROOT/tests/policy/mirror.py" shadow "$SHADOW" keep
wait_listening "$SHADOW" "the mirror"
through 127.0.0.1 0.0.0.0 127.0.0.1 127.0.0.2
through '[::1]' '[::]' '[::1]' 127.0.0.1
