#!/bin/bash
# Two networks with the same addresses and ports on one kernel, a proxyd in each: no byte of one gets
# into the other.
#
#   twins.sh redirect|tproxy|steer LANE
set -euo pipefail
. "$(dirname "$0")/net.sh"
MODE=${1:?"usage: $TEST.sh redirect|tproxy|steer LANE"}
TEST=$TEST.$MODE
shift
take_lane "$@"
PEERS=$HERE/twins.py
OTHER_CLIENT=$CLIENT-other OTHER_PROXY=$PROXY-other OTHER_BACK=sidelane-$$-backend-other

INTERCEPT="mode: $MODE"
[[ $MODE != steer ]] || INTERCEPT+=", interfaces: [clients], on_exit: closed"
cat >"$TMP/proxyd.yaml" <<-END
	lane: $LANE
	listeners:
	  - address: "[::]:15001"
	    intercept: {$INTERCEPT}
	routes:
	  - {original_destination: true}
END

begin_network
for host in "$OTHER_CLIENT" "$OTHER_PROXY" "$OTHER_BACK"; do
	add_host "$host"
done
make_network "$OTHER_CLIENT" "$OTHER_PROXY" "$OTHER_BACK"

# The other proxyd is started first: start_proxyd knows the last one alone.
PROXYD_PREFIX=(nsenter --net="/run/netns/$OTHER_PROXY")
CONTROL=$TMP/other.sock
start_proxyd -c "$TMP/proxyd.yaml"
OTHER_PID=$PROXYD_PID
OTHER_IDS=("${BPF_IDS[@]}")
BPF_IDS=()
PROXYD_PREFIX=(nsenter --net="/run/netns/$PROXY")
CONTROL=$TMP/control.sock
start_proxyd -c "$TMP/proxyd.yaml"

spawn one-server python3 "$PEERS" serve one 7000
spawn other-server nsenter --net="/run/netns/$OTHER_BACK" python3 "$PEERS" serve other 7000
for server in one other; do
	wait_until 60 grep -q ready "$TMP/$server-server.log" || fail "$server: the server is not ready"
done

both() { # ADDRESS LOCAL-ADDRESS
	local one other
	on "$CLIENT" python3 "$PEERS" ask one "$1" 7000 "$2" 30000 20 2 >"$TMP/one.log" 2>&1 &
	one=$!
	on "$OTHER_CLIENT" python3 "$PEERS" ask other "$1" 7000 "$2" 30000 20 2 >"$TMP/other.log" 2>&1 &
	other=$!
	wait "$one" || fail "$1: the one network"
	wait "$other" || fail "$1: the other network"
	say "$1: $(cat "$TMP/one.log"); $(cat "$TMP/other.log")"
}

both 10.9.2.2 10.9.1.2
both fd09:2::2 fd09:1::2
assert_no_active_flows
assert_equal 40 "$(proxyd_status .flows.total)" "flows of the one"
assert_equal 40 "$("$PROXYD" status --json --control "$TMP/other.sock" | jq .flows.total)" "flows of the other"
assert_carried 1000000
if [[ $MODE == steer ]]; then
	# What they leave pinned, in a file system that they have in common, is each one's own.
	pins() { find /sys/fs/bpf -name 'proxyd_*' | wc -l; }
	no_pins() { [[ $(pins) == 0 ]]; }
	BPF_IDS=() OTHER_IDS=()
else
	remember_traces
fi
kill -TERM "$PROXYD_PID"
proxyd_ended 20
assert_equal 0 "$PROXYD_EXIT" "the one's exit status"
BPF_IDS=("${OTHER_IDS[@]}")
kill -TERM "$OTHER_PID"
PROXYD_PID=$OTHER_PID PROXYD_LOG=$TMP/proxyd-1.log
proxyd_ended 20
assert_equal 0 "$PROXYD_EXIT" "the other's exit status"
if [[ $MODE == steer ]]; then
	assert_equal 2 "$(pins)" "programs that are pinned"
	on "$PROXY" "$PROXYD" rules --clear
	assert_equal 1 "$(pins)" "programs that are pinned after rules --clear of the one"
	# Nobody can clear it from inside when that network is gone.
	ip netns delete "$OTHER_PROXY"
	for i in "${!HOSTS[@]}"; do
		[[ ${HOSTS[i]} != "$OTHER_PROXY" ]] || unset "HOSTS[i]"
	done
	cleared() { on "$PROXY" "$PROXYD" rules --clear && no_pins; }
	wait_until 60 cleared || fail "the program of a network that is gone stays"
fi
