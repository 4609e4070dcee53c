#!/bin/bash
# Programs of a host behind proxyd's, who know nothing of it: whom they ask for answers, and they
# believe to talk to it; what they send goes by the lane; proxyd's end is what was asked for.
#
#   modes.sh redirect|local|tproxy|steer LANE
#     local: redirect, of processes of proxyd's own host
set -euo pipefail
. "$(dirname "$0")/net.sh"
. "$HERE/servers.sh"
MODE=${1:?"usage: $TEST.sh redirect|local|tproxy|steer LANE"}
TEST=$TEST.$MODE
shift
take_lane "$@"

# One of the test's own, below the hierarchy that there is.
make_cgroup() {
	local root
	root=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
	mkdir "${root:-/dev/null}/sidelane-modes-$$" || skip "no cgroup v2 can be made"
	CGROUP=$root/sidelane-modes-$$
	CGROUPS_MADE+=("$CGROUP")
}

LISTEN=15001
NAME=out
CONFIG=$TMP/proxyd.yaml
# Where the client is, and of what its connections are part.
PREFIX=(nsenter --net="/run/netns/$CLIENT")
case $MODE in
redirect) INTERCEPT="mode: redirect" ;;
local)
	make_cgroup
	INTERCEPT="mode: redirect, cgroup: $CGROUP"
	OUTSIDE=(nsenter --net="/run/netns/$PROXY")
	# shellcheck disable=SC2016 # expanded by the shell that it starts
	PREFIX=("${OUTSIDE[@]}" bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CGROUP")
	;;
tproxy) INTERCEPT="mode: tproxy" ;;
steer) INTERCEPT="mode: steer, interfaces: [clients]" ;;
*) fail "$MODE: no such mode" ;;
esac

write_config() { # MORE-OF-INTERCEPT
	cat >"$CONFIG" <<-END
		lane: $LANE
		listeners:
		  - name: $NAME
		    address: "[::]:$LISTEN"
		    intercept: {$INTERCEPT$1}
		routes:
		  - {original_destination: true}
	END
}

begin() { # MORE-OF-INTERCEPT
	write_config "${1-}"
	start_proxyd -c "$CONFIG"
}

follow() { # MORE-OF-INTERCEPT
	write_config "$1"
	"$PROXYD" reload --control "$CONTROL" || fail "the reload to '$1' was refused"
}

# Tables of netfilter, programs, routes, and rules of routing with WHAT.
traces() { # [WHAT]
	on "$PROXY" nft list tables
	on "$PROXY" ip route show table all | grep -w 760015001 || true
	on "$PROXY" ip -6 route show table all | grep -w 760015001 || true
	find /sys/fs/bpf -name "proxyd_*"
	[[ ${1-} != rules ]] || {
		on "$PROXY" ip rule
		on "$PROXY" ip -6 rule
	} | grep 7600 || true
}
no_tables() { [[ -z $(on "$PROXY" nft list tables) ]]; }
no_traces() { [[ -z $(traces "$@") ]]; }
assert_no_traces() { # WHEN [rules]
	wait_until 60 no_traces "${@:2}" || fail "$1: $(traces "${@:2}")"
}

ask() { # ADDRESS
	"${PREFIX[@]}" curl -fsS --max-time 60 "http://$1/" 2>"$TMP/ask.log"
}

# A connection succeeds and passes proxyd, or not.
assert_passes() { # 0|1 ADDRESS
	local before
	before=$(proxyd_status .flows.total)
	assert_equal "$(tr -d '[]' <<<"$2")" "$(ask "$2")" "who answers for $2"
	assert_equal "$1" $(($(proxyd_status .flows.total) - before)) "flows through proxyd to $2"
}

assert_refused() { # ADDRESS WHEN
	local status=0
	ask "$1" >"$TMP/refused" || status=$?
	# 7: curl could not connect.
	assert_equal 7 "$status" "curl's exit status for $1 $2"
}

# ---- a connection that lives through it ----

# It is answered each line in capitals, until it ends. bash forgets DIALOGUE when that has ended.
begin_dialogue() {
	coproc DIALOGUE { "${PREFIX[@]}" timeout 120 ssh -F "$TMP/ssh.conf" proxyd sed -u 's/.*/\\U\&/'; }
	TALKER=$DIALOGUE_PID
	local to=${DIALOGUE[1]}
	exec {ASK}>&"$to" {ANSWER}<&"${DIALOGUE[0]}"
	exec {to}>&-
	assert_dialogue begin
}

assert_dialogue() { # WORD
	local answer
	echo "$1" >&"$ASK"
	read -r -t 60 answer <&"$ANSWER" || fail "no answer to $1"
	assert_equal "${1^^}" "$answer" "answer to $1"
}

end_dialogue() {
	exec {ASK}>&- {ANSWER}<&-
	wait "$TALKER" || fail "the dialogue ended with $?"
}

# ---- other traffic ----

# Three connections by one port. The server closes first, so it is proxyd's socket that is in TIME_WAIT when
# the tuple comes again. The port is one that no connection gets by itself.
reuse_port() { # ADDRESS PORT
	"${PREFIX[@]}" python3 - "$@" <<-'END' || fail "the same port again, to $1"
		import socket
		import sys
		for _ in range(3):
		    with socket.socket() as client:
		        client.settimeout(60)
		        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		        client.bind(("", 20000))
		        client.connect((sys.argv[1], int(sys.argv[2])))
		        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
		        assert b" 200 OK" in client.makefile("rb").read()
	END
}

# Of this host's processes, only those of the cgroup, and of them those of a user.
test_outside() {
	local before
	before=$(proxyd_status .flows.total)
	assert_equal 10.9.2.2 "$("${OUTSIDE[@]}" curl -fsS --max-time 60 http://10.9.2.2/)" "who answers outside"
	assert_equal 0 $(($(proxyd_status .flows.total) - before)) "flows through proxyd from outside the cgroup"
	follow ", uids: [1-100000]"
	assert_passes 0 10.9.2.2
	follow ", uids: [0, 5-7]"
	assert_passes 1 10.9.2.2
	follow ""
}

# A service on proxyd's own host, for which the very same mode takes what comes to it.
test_inbound() {
	local mode=${INTERCEPT%%,*}
	[[ $MODE == steer ]] || mode+=", traffic: inbound"
	cat >"$CONFIG" <<-END
		lane: $LANE
		listeners:
		  - name: in
		    address: "[::]:$LISTEN"
		    intercept: {$mode, ports: [7000, 8080], on_exit: closed}
		routes:
		  - {original_destination: true}
	END
	spawn service nsenter --net="/run/netns/$PROXY" python3 -m http.server 8080 --bind :: --directory "$TMP/www"
	wait_until 60 service_listens || fail "the service does not listen"
	start_proxyd -c "$CONFIG"
	for address in 10.9.1.1 '[fd09:1::1]'; do
		"${PREFIX[@]}" curl -fsS --max-time 60 -o "$TMP/download" "http://$address:8080/original"
		assert_same_file "$TMP/original" "$TMP/download" "download from $address, inbound"
	done
	reuse_port 10.9.1.1 8080
	assert_equal 5 "$(proxyd_status .flows.total)" "flows through proxyd, inbound"
	look_for_gap "$PROXY" 10.9.1.1
	end_closed TERM
	on "$PROXY" "$PROXYD" rules --clear
	assert_no_traces "after inbound" rules
}

# The server sees the client: proxyd is between them for nobody. The answers find back by the rules of
# the mode, or by those of docs/transparent.md.
test_source() {
	local address source=client rules=$TMP/source-rules
	# Connection tracking takes a second connection of the same tuple for the first.
	[[ $MODE == tproxy ]] || source=clientip
	write_config ""
	echo "original_destination: {tcp: {source: $source}}" >>"$CONFIG"
	# shellcheck disable=SC2016 # ``` of Markdown
	sed -n '/^nft add table inet proxyd_source/,/^```/{/^```/!p}' "$ROOT/docs/transparent.md" >"$rules"
	[[ $MODE == tproxy ]] || on "$PROXY" sh -e "$rules"
	start_proxyd -c "$CONFIG"
	for address in 10.9.2.2 '[fd09:2::2]'; do
		assert_passes 1 "$address"
		assert_equal "$([[ $address == 10* ]] && echo 10.9.1.2 || echo fd09:1::2)" \
			"$("${PREFIX[@]}" curl -fsS --max-time 60 "http://$address/client")" "whom $address sees"
		"${PREFIX[@]}" curl -fsS --max-time 60 -o "$TMP/download" "http://$address/original"
		assert_same_file "$TMP/original" "$TMP/download" "download from $address for the client itself"
	done
	stop_proxyd
	[[ $MODE == tproxy ]] || on "$PROXY" sh -c "
		nft delete table inet proxyd_source
		ip route flush table 152
		ip -6 route flush table 152
		ip rule del lookup 152
		ip -6 rule del lookup 152"
	assert_no_traces "after the client's own address" rules
}

# Rules that somebody else puts in place.
test_skip() {
	begin ", rules: skip"
	assert_passes 0 10.9.2.2
	"$PROXYD" rules --print -c "$CONFIG" | on "$PROXY" sh -e
	assert_passes 1 10.9.2.2
	assert_passes 1 '[fd09:2::2]'
	on "$PROXY" "$PROXYD" rules --clear
	assert_passes 0 10.9.2.2
	stop_proxyd
	assert_no_traces "after rules of somebody else" rules
}

# What passes through the host is taken as soon as a reload names interfaces, and no more when it names none.
test_interfaces() {
	local intercept=$INTERCEPT
	INTERCEPT="mode: steer"
	begin
	assert_passes 0 10.9.2.2
	INTERCEPT=$intercept
	follow ""
	assert_passes 1 10.9.2.2
	assert_passes 1 '[fd09:2::2]'
	INTERCEPT="mode: steer"
	follow ""
	assert_passes 0 10.9.2.2
	INTERCEPT=$intercept
	stop_proxyd
	assert_no_traces "after interfaces that came and went" rules
}

service_listens() { [[ -n $(on "$PROXY" ss -Hltn "sport = :8080") ]]; }

# ---- proxyd's end ----

slow_answers() { grep -cs 'GET /slow' "$TMP/nginx/slow.log" || true; }
slow_is_sent() { (($(slow_answers) > $1)); } # ANSWERS BEFORE

# What it reads is with the kernel by the time that proxyd's flow ends: more than fits into its buffer, read
# when nothing else keeps proxyd.
begin_slow_reader() {
	local before
	before=$(slow_answers)
	head -c 600000 "$TMP/original" >"$TMP/www/slow"
	rm -f "$TMP/slow-began" "$TMP/slow-half" "$TMP/slow-go"
	# shellcheck disable=SC2016 # of Python
	spawn slow "${PREFIX[@]}" python3 -c '
import os, socket, sys, time
began, half, go, out = sys.argv[1:]
def await_file(name):
    while not os.path.exists(name):
        time.sleep(0.05)
with socket.socket() as client, open(out, "wb") as file:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    client.connect(("10.9.2.2", 80))
    client.sendall(b"GET /slow HTTP/1.0\r\n\r\n")
    answer = client.makefile("rb", 1024)
    while answer.readline().strip():
        pass
    open(began, "w").close()
    await_file(half)
    client.shutdown(socket.SHUT_WR)
    await_file(go)
    time.sleep(1)
    while data := answer.read(16384):
        file.write(data)
        time.sleep(0.02)
' "$TMP/slow-began" "$TMP/slow-half" "$TMP/slow-go" "$TMP/slow-read"
	SLOW=$SPAWNED_PID
	wait_until 60 test -e "$TMP/slow-began" || fail "the slow reader gets no answer"
	# nginx takes a FIN while it sends for the end of its client, and stops.
	wait_until 60 slow_is_sent "$before" || fail "nginx does not get rid of its answer"
	touch "$TMP/slow-half"
}

test_drain() {
	begin_slow_reader
	begin_dialogue
	kill -TERM "$PROXYD_PID"
	wait_until 60 grep -q 'accepting no more' "$PROXYD_LOG" || fail "proxyd does not drain"
	# Routes do not tell new connections from those that live: steered ones have to wait.
	[[ $MODE == steer ]] || assert_equal 10.9.2.2 "$(ask 10.9.2.2)" "who answers while proxyd drains"
	assert_dialogue drain
	touch "$TMP/slow-go"
	end_dialogue
	proxyd_ended 40
	assert_equal 0 "$PROXYD_EXIT" "proxyd's exit status after SIGTERM"
	wait_until 60 gone "$SLOW" || fail "the slow reader waits for the rest"
	assert_same_file "$TMP/www/slow" "$TMP/slow-read" "what the slow reader has read"
	assert_no_traces "after SIGTERM" rules
}

flows_active() { [[ $("$PROXYD" status --json --control "$CONTROL" | jq .flows.active) == "$1" ]]; } # NUMBER

# A second signal ends proxyd at once, though a client has not acknowledged what it was sent: while flows
# live, and when only that is left.
test_second_signal() {
	local waits_for
	for waits_for in dialogue slow; do
		start_proxyd -c "$CONFIG"
		begin_slow_reader
		[[ $waits_for != dialogue ]] || begin_dialogue
		wait_until 60 flows_active "$([[ $waits_for == dialogue ]] && echo 1 || echo 0)" ||
			fail "the slow reader's flow does not end"
		kill -TERM "$PROXYD_PID"
		if [[ $waits_for == dialogue ]]; then
			wait_until 60 grep -q 'accepting no more' "$PROXYD_LOG" || fail "proxyd does not drain"
		else
			wait_until 60 grep -qx 'proxyd: stopped' "$PROXYD_LOG" || fail "the flow does not end"
		fi
		alive "$PROXYD_PID" || fail "proxyd does not wait for the slow reader"
		kill -TERM "$PROXYD_PID"
		# Without, it is half a minute.
		proxyd_ended 20
		assert_equal 0 "$PROXYD_EXIT" "proxyd's exit status after a second SIGTERM"
		grep -q 'have not acknowledged' "$PROXYD_LOG" || fail "nobody was cut off: $(cat "$PROXYD_LOG")"
		end "$SLOW"
		if [[ $waits_for == dialogue ]]; then
			wait_until 60 gone "$TALKER" || fail "a live connection goes on after a second SIGTERM"
			exec {ASK}>&- {ANSWER}<&-
		fi
	done
}

test_kill_open() {
	begin
	begin_dialogue
	assert_passes 1 10.9.2.2
	remember_traces
	kill -9 "$PROXYD_PID"
	proxyd_ended 20
	wait_until 60 no_tables || fail "after kill -9: $(on "$PROXY" nft list tables)"
	# Routes and rules of tproxy stay, where no packet meets them.
	[[ $MODE == tproxy ]] || assert_no_traces "after kill -9"
	assert_equal 10.9.2.2 "$(ask 10.9.2.2)" "who answers after kill -9"
	assert_equal fd09:2::2 "$(ask '[fd09:2::2]')" "who answers after kill -9"
	(echo late >&"$ASK") 2>/dev/null || true
	wait_until 60 gone "$TALKER" || fail "a live connection goes on after kill -9"
	exec {ASK}>&- {ANSWER}<&-
}

# What refuses stays in the kernel.
end_closed() { # SIGNAL
	kill "-$1" "$PROXYD_PID"
	BPF_IDS=()
	proxyd_ended 20
}

some_flows() { (($(proxyd_status .flows.total) > 1)); }

# Nobody gets past a proxyd that takes the place of one that was killed. ADDRESS is of HOST.
look_for_gap() { # HOST ADDRESS
	local gap seeing monitor
	spawn seeing nsenter --net="/run/netns/$1" python3 "$HERE/gap.py" serve "$2" 7000
	seeing=$SPAWNED_PID
	spawn monitor nsenter --net="/run/netns/$PROXY" ip monitor rule
	monitor=$SPAWNED_PID
	wait_until 60 grep -q ready "$TMP/seeing.log" || fail "no server that sees its clients"
	rm -f "$TMP/stop"
	spawn gap "${PREFIX[@]}" python3 "$HERE/gap.py" connect "$2" 7000 "$TMP/stop"
	gap=$SPAWNED_PID
	for _ in 1 2 3; do
		end_closed KILL
		start_proxyd -c "$CONFIG"
		wait_until 60 some_flows || fail "nothing goes by proxyd"
	done
	touch "$TMP/stop"
	wait_until 60 gone "$gap" || fail "who looks for a gap does not end"
	wait "$gap" || fail "while proxyd started: $(cat "$TMP/gap.log")"
	forget "$gap"
	say "while proxyd started: $(cat "$TMP/gap.log")"
	end "$seeing"
	end "$monitor"
	# However short: the rules of routing that are there go when there are others.
	! grep 7600 "$TMP/monitor.log" | head -n 1 | grep Deleted || fail "rules of routing went first"
}

test_kill_closed() {
	begin ", on_exit: closed"
	assert_passes 1 10.9.2.2
	end_closed KILL
	assert_refused 10.9.2.2 "after kill -9, closed"
	assert_refused '[fd09:2::2]' "after kill -9, closed"
	# The next one goes on with what it finds.
	begin ", on_exit: closed"
	look_for_gap "$BACK" 10.9.2.2
	assert_passes 1 10.9.2.2
	# Tables that outlive their owner have none, and go when a firewall is set up anew. A reload brings them back.
	on "$PROXY" nft flush ruleset
	follow ", on_exit: closed"
	assert_passes 1 10.9.2.2
	end_closed TERM
	assert_refused 10.9.2.2 "after SIGTERM, closed"
	on "$PROXY" "$PROXYD" rules --clear
	assert_equal 10.9.2.2 "$(ask 10.9.2.2)" "who answers after rules --clear"
	assert_no_traces "after rules --clear" rules
}

begin_network
start_servers
assert_equal 10.9.2.2 "$(ask 10.9.2.2)" "who answers before there is a proxyd"
begin
assert_passes 1 10.9.2.2
test_programs
assert_no_active_flows
assert_carried 1000000

# Rules, changed while a connection lives.
begin_dialogue
follow ", exclude: [10.9.2.3]"
assert_passes 0 10.9.2.3
assert_passes 1 10.9.2.2
follow ", destinations: [10.9.2.2/31], ports: [22, 80-90]"
assert_passes 1 10.9.2.3
follow ", ports: [22]"
assert_passes 0 10.9.2.2
assert_dialogue reload
# Under another name, and under the first again.
for NAME in other out; do
	follow ""
	assert_passes 1 10.9.2.2
	assert_dialogue "$NAME"
	[[ $MODE == steer ]] || assert_equal "table inet proxyd_${LISTEN}_$NAME" "$(on "$PROXY" nft list tables)" \
		"tables of a listener that is named $NAME"
done
# Without the listener, what it has taken goes on.
if [[ $MODE != steer ]]; then
	cat >"$CONFIG" <<-END
		lane: $LANE
		listeners: "127.0.0.1:15002"
		routes: {reject: close}
	END
	"$PROXYD" reload --control "$CONTROL" || fail "the reload without the listener was refused"
	assert_passes 0 10.9.2.2
	assert_dialogue gone
fi
end_dialogue
follow ""
assert_passes 1 10.9.2.2
[[ $MODE != local ]] || test_outside
test_drain
# With another lane the flow itself waits for the slow reader.
[[ $MODE != redirect || $LANE != kernel ]] || test_second_signal
test_kill_open
test_kill_closed
test_skip
[[ $MODE != steer ]] || test_interfaces
[[ $MODE != tproxy && $MODE != redirect ]] || test_source
[[ $MODE == local ]] || test_inbound
say "all as it should be"
