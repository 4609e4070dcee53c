#!/bin/bash
# Reloads under load: no live flow is touched, no new one fails, and a thousand reloads leave nothing
# behind.
#
#   reload.sh kernel|relay|auto
source "$(dirname "$0")/../lib.sh"
take_lane "$@"
need jq python3

FLOWS=5000 CHURN=200 LASTS=12 REPEATED=1000
if ((QUICK)); then
	FLOWS=200 CHURN=40 LASTS=8 REPEATED=60
fi
free_port FRONT
free_port BACK
free_port OTHER
CONFIG=$TMP/proxyd.yaml

# Each is another config: endpoints, weights, routes and a second listener come and go.
write_config() { # NUMBER
	{
		echo "lane: $LANE"
		echo "listeners:"
		echo "  - {name: main, address: 127.0.0.1:$FRONT, limits: {max_flows: $((50000 + $1))}}"
		(($1 % 2)) || echo "  - {name: second, address: 127.0.0.1:$OTHER}"
		echo "routes:"
		(($1 % 3)) || echo "  - {name: nobody, match: {source: 192.0.2.0/24}, reject: reset}"
		echo "  - {name: all, upstream: pool}"
		echo "upstreams:"
		echo "  - name: pool"
		echo "    balance: $( (($1 % 4 < 2)) && echo round_robin || echo maglev)"
		echo "    endpoints:"
		echo "      - {address: 127.0.0.1:$BACK, weight: $((1 + $1 % 5))}"
		(($1 % 5)) || echo "      - {address: 127.0.0.1:1, backup: true}"
	} >"$CONFIG.next"
	mv "$CONFIG.next" "$CONFIG"
}

reload() {
	"$PROXYD" reload --control "$CONTROL" || fail "reload $1 was refused"
}

settled_reloads() { [[ $(proxyd_status .config.reloads) == "$1" ]]; }

not() { ! "$@"; }

share() { proxyd_status '100 * .bytes.kernel / (.bytes.kernel + .bytes.relay + 1) | floor'; }

# Runs the live flows, with a reload every so often or with none; sets SHARE.
live() { # FLOWS CHURN SECONDS PAUSE-BETWEEN-RELOADS|-
	local number=0 result=0
	spawn live python3 "$ROOT/tests/policy/live.py" --connect "127.0.0.1:$FRONT" \
		--listen "127.0.0.1:$BACK" --flows "$1" --churn "$2" --seconds "$3" --pause 4
	local live=$SPAWNED_PID
	wait_until 60 grep -q "live: ready" "$TMP/live.log" || fail "the live flows are not up"
	if [[ $4 != - ]]; then
		# Long before the end, so that flows live through the last one too.
		while alive "$live" && ((number < $3 * 2)); do
			number=$((number + 1))
			write_config "$number"
			reload "$number"
			sleep "$4"
		done
	fi
	wait "$live" || result=$?
	forget "$live"
	((result == 0)) || fail "$(tail -n 5 "$TMP/live.log")"
	SHARE=$(share)
	say "$1 live flows, $2 new ones a second, $number reloads: $(tail -n 1 "$TMP/live.log"), kernel share $SHARE %"
}

start() {
	write_config 0
	start_proxyd -c "$CONFIG"
}

# What new flows send before their backend has answered is relayed, more of it on a busy machine: the
# share to compare with is that of the same traffic. A reload that touched live flows would leave next to
# nothing of it.
start
live "$FLOWS" "$CHURN" 5 -
CALM=$SHARE
stop_proxyd

start
live "$FLOWS" "$CHURN" "$LASTS" 0.25
[[ $LANE == relay ]] || assert_number "$SHARE" -ge $((CALM / 3)) "kernel share under reloads ($CALM % without)"
assert_no_active_flows

# A bad file changes nothing, and the log says what is wrong and what goes on.
BEFORE=$(proxyd_status .config.reloads)
echo "listenerz: []" >"$CONFIG"
if "$PROXYD" reload --control "$CONTROL" 2>"$TMP/refusal.log"; then
	fail "a bad file was taken on"
fi
kill -HUP "$PROXYD_PID"
said_twice() { (($(grep -c "running config stays" "$PROXYD_LOG") == 2)); }
wait_until 60 grep -q "proxyd.yaml:1:1: .*listenerz.*listeners" "$PROXYD_LOG" || fail "the log does not say what is wrong"
wait_until 60 said_twice || fail "the log does not say which config stays"
assert_equal "$BEFORE" "$(proxyd_status .config.reloads)" "reloads after a bad file"

# A port that another process has: nothing changes either.
write_config 1
reload 1
wait_until 60 not listening "$OTHER" || fail "the second listener is still there"
spawn squatter python3 -c "
import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', $OTHER)); s.listen(); time.sleep(600)"
SQUATTER=$SPAWNED_PID
wait_until 60 listening "$OTHER" || fail "the other process does not listen"
write_config 2
if "$PROXYD" reload --control "$CONTROL" 2>>"$TMP/refusal.log"; then
	fail "a config with a port that is in use was taken on"
fi
end "$SQUATTER"

# Memory, descriptors and map entries stay what they are. The first ones warm the allocators up.
resident() { awk '/^(VmRSS|RssAnon):/ { kb = $2 } END { print kb }' "/proc/$PROXYD_PID/status"; }
# But for pipes: those are kept for the next flows, as many as were needed at once.
descriptors() { find "/proc/$PROXYD_PID/fd" -mindepth 1 ! -lname 'pipe:*' | wc -l; }
repeat() { # COUNT
	local number
	for ((number = 1; number <= $1; number++)); do
		write_config "$number"
		reload "$number"
	done
	live 50 20 1 -
	assert_no_active_flows
	write_config 0
	reload last
}

repeat $((REPEATED / 10))
MEMORY=$(resident) OPEN=$(descriptors)
repeat "$REPEATED"
say "after $REPEATED reloads: $MEMORY -> $(resident) kB, $OPEN -> $(descriptors) descriptors"
assert_equal "$OPEN" "$(descriptors)" "descriptors after $REPEATED reloads"
# 2 kB of each; what the allocators keep depends on how many flows came at once.
((QUICK)) || assert_number "$(resident)" -le $((MEMORY + 2 * REPEATED)) "kB of memory after $REPEATED reloads"
stop_proxyd
