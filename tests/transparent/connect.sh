#!/bin/bash
# What the processes of a cgroup connect to goes by way of proxyd, and to nobody else.
#
#   connect.sh kernel|relay|auto
#
#   CONNECTIONS  of the churn (default 10000; 60000 and more for the whole of it)
if [[ -z ${NAMESPACE-} ]] && ((EUID == 0)); then
	# shellcheck disable=SC2016 # for the inner shell
	NAMESPACE=ours exec unshare --net --mount bash -c '
		mount -t bpf bpf /sys/fs/bpf && ip link set lo up && exec "$0" "$@"' "$0" "$@"
fi
source "$(dirname "$0")/../lib.sh"
take_lane "$@"
need_root
need bpftool curl ip jq nft python3 tc

SERVERS=20
CONNECTIONS=${CONNECTIONS:-10000}
((QUICK == 0)) || CONNECTIONS=2000
CHURN=$BUILD/tests/transparent/churn
[[ -x $CHURN ]] || fail "$CHURN is not there: build it first"
PEERS=$ROOT/tests/transparent/peers.py
CONFIG=$TMP/proxyd.yaml
free_port FRONT
free_port BACK
free_port MANY
free_port LOCAL
free_port SPARE

# ---- a cgroup of its own ----

HIERARCHY=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
MOUNTED=
CLIENTS=

# Back to where the test itself is.
send_home() { # PID
	echo "$1" >"$HIERARCHY$(sed -n 's/^0:://p' /proc/self/cgroup)/cgroup.procs"
}

remove_cgroup() {
	local pid
	if [[ -n $CLIENTS ]]; then
		while read -r pid; do
			send_home "$pid" || true
		done <"$CLIENTS/cgroup.procs"
		wait_until 5 rmdir "$CLIENTS" || true
	fi
	[[ -z $MOUNTED ]] || umount "$MOUNTED" || true
}
trap 'ENDED=$?; remove_cgroup; (exit "$ENDED") || cleanup; cleanup' EXIT

if [[ -z $HIERARCHY ]]; then
	HIERARCHY=$TMP/cgroup
	mkdir "$HIERARCHY"
	mount -t cgroup2 none "$HIERARCHY" 2>/dev/null || skip "cgroup v2 cannot be mounted"
	MOUNTED=$HIERARCHY
fi
mkdir "$HIERARCHY/sidelane-connect-$$" || skip "no cgroup can be made in $HIERARCHY"
CLIENTS=$HIERARCHY/sidelane-connect-$$

within() { # COMMAND...: in the cgroup
	sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CLIENTS" "$@"
}

peers() { python3 "$PEERS" "$@"; }
clients() { within python3 "$PEERS" "$@"; }

# ---- proxyd ----

# The servers are named, so that nothing else that this host's tests do is taken.
write_config() { # MORE-OF-INTERCEPT
	cat >"$CONFIG" <<-END
		lane: $LANE
		listeners:
		  - name: out
		    address: "[::]:$FRONT"
		    intercept: {cgroup: $CLIENTS$1}
		routes:
		  - {original_destination: true}
	END
}

begin() {
	write_config ""
	start_proxyd -c "$CONFIG"
}

follow() { # MORE-OF-INTERCEPT
	write_config "$1"
	"$PROXYD" reload --control "$CONTROL" || fail "the reload to '$1' was refused"
}

total() { proxyd_status .flows.total; }

# An exchange with a server succeeds and passes proxyd, or not.
assert_passes() { # 0|1 COMMAND...
	local before after wanted=$1
	shift
	before=$(total)
	"$@" >"$TMP/once.log" 2>&1 || fail "$* failed: $(tail -n 3 "$TMP/once.log")"
	after=$(total)
	assert_equal "$wanted" $((after - before)) "flows through proxyd of: $*"
}

handshakes() {
	cat "/proc/$PROXYD_PID"/fdinfo/* 2>/dev/null | sed -n 's/^map_id:[[:space:]]*//p' |
		while read -r id; do
			[[ $(bpftool -j map show id "$id" | jq -r .name) != handshakes ]] ||
				bpftool -j map dump id "$id" | jq length
		done
}
no_handshakes() { [[ $(handshakes) == 0 ]]; }

assert_nobody_wrong() {
	! grep wrong "$TMP/servers.log" "$TMP/many.log" || fail "$1: a connection reached another's server"
}

churn() { # CONNECTIONS WHAT
	local seed=$SRANDOM before answered
	before=$(total)
	within "$CHURN" run "$MANY" "$SERVERS" 1 "$1" "$seed" >"$TMP/churn.log" 2>&1 || fail "$2, seed $seed: $(
		tail -n 3 "$TMP/churn.log")"
	assert_nobody_wrong "$2, seed $seed"
	say "$2, seed $seed: $(cat "$TMP/churn.log")"
	answered=$(sed -n 's/.*, \([0-9]*\) answered,.*/\1/p' "$TMP/churn.log")
	assert_number $(($(total) - before)) -ge "$answered" "$2: flows through proxyd"
}

spawn servers python3 "$PEERS" serve "$BACK" "$SERVERS"
wait_until 60 grep -q ready "$TMP/servers.log" || fail "the servers are not ready"
spawn many "$CHURN" serve "$MANY" "$SERVERS" 1
wait_until 60 grep -q ready "$TMP/many.log" || fail "the many servers are not ready"

begin
clients check "$BACK"
assert_equal 8 "$(total)" "flows of the first clients"
assert_passes 0 peers once 127.77.0.1 "$BACK"

# Byte-exact with curl, which says whom it talked to.
peers body >"$TMP/body"
REMOTE=$(within curl -sS -o "$TMP/got" -w '%{remote_ip}' "http://127.77.0.2:$BACK/")
assert_equal 127.77.0.2 "$REMOTE" "what curl takes for its peer"
assert_same_file "$TMP/body" "$TMP/got" "download"
within curl -sS -o "$TMP/got" "http://[::1]:$BACK/"
assert_same_file "$TMP/body" "$TMP/got" "download over IPv6"

# One tuple, ten users; proxyd accepts when nine are gone.
clients reuse "$BACK" "$LOCAL" "$PROXYD_PID"
assert_nobody_wrong "tuple reuse"

# A narrow link, where many handshakes are under way at once: on loopback one ends before the next.
if tc qdisc add dev lo root tbf rate 20mbit burst 70000 latency 5s 2>"$TMP/tc.log"; then
	churn 400 narrow
	tc qdisc delete dev lo root
else
	say "no narrow link: $(cat "$TMP/tc.log")"
fi

churn "$CONNECTIONS" wide
assert_no_active_flows
wait_until 60 no_handshakes || fail "$(handshakes) handshakes are left in the map"
assert_carried 2000000

# Rules, changed while proxyd runs.
follow ", exclude: [127.77.0.1]"
assert_passes 0 clients once 127.77.0.1 "$BACK"
assert_passes 1 clients once 127.77.0.2 "$BACK"
follow ", destinations: [127.77.0.0/30, \"::1\"], exclude: [127.77.0.2]"
assert_passes 1 clients once 127.77.0.1 "$BACK"
assert_passes 0 clients once 127.77.0.2 "$BACK"
assert_passes 0 clients once 127.77.0.9 "$BACK"
assert_passes 1 clients once ::1 "$BACK"
follow ", ports: [1-$((BACK - 1)), $((BACK + 1))-65535]"
assert_passes 0 clients once 127.77.0.1 "$BACK"
follow ", ports: [$BACK]"
assert_passes 1 clients once 127.77.0.1 "$BACK"
follow ", uids: [$(id -u nobody)]"
assert_passes 0 clients once 127.77.0.1 "$BACK"
assert_passes 1 within setpriv --reuid=nobody --clear-groups curl -sS -o /dev/null "http://127.77.0.1:$BACK/"
follow ", uids: [0-1, 70000]"
assert_passes 1 clients once 127.77.0.1 "$BACK"

# One at a time: neither another proxyd nor a second listener takes the same connections.
sed "s/:$FRONT/:$LOCAL/" "$CONFIG" >"$TMP/second.yaml"
assert_no_second() { # WHEN
	local status=0
	timeout 60 "$PROXYD" run -c "$TMP/second.yaml" --control "$TMP/second.sock" >"$TMP/second.log" 2>&1 || status=$?
	((status != 0 && status != 124)) || fail "a second proxyd intercepts the same cgroup $1: $status"
	grep -q "another proxyd intercepts the IPv4 connections of $CLIENTS; stop it" "$TMP/second.log" ||
		fail "$1: $(cat "$TMP/second.log")"
}
assert_no_second "at once"
# One listener takes over from another, and no client is the worse for it.
cp "$CONFIG" "$TMP/before.yaml"
# shellcheck disable=SC2016 # for the inner shell
spawn steady sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CLIENTS" \
	python3 "$PEERS" steady "$BACK" "$TMP/taken-over"
STEADY=$SPAWNED_PID
BEFORE=$(total)
more_flows() { (($(total) > BEFORE + 10)); }
wait_until 60 more_flows || fail "nothing goes by proxyd"
sed -i "s/:$FRONT/:$SPARE/" "$CONFIG"
"$PROXYD" reload --control "$CONTROL" || fail "the reload to another port was refused"
assert_no_second "after a reload to another port"
cp "$TMP/before.yaml" "$CONFIG"
"$PROXYD" reload --control "$CONTROL" || fail "the reload to the first port was refused"
assert_no_second "after a reload back"
touch "$TMP/taken-over"
wait_until 60 gone "$STEADY" || fail "who connects all the time does not end"
wait "$STEADY" || fail "while one listener took over from another: $(tail -n 3 "$TMP/steady.log")"
forget "$STEADY"
# What was drained stays so when a reload is refused, until one is not.
"$PROXYD" drain out --control "$CONTROL" || fail "the listener is not drained"
assert_passes 0 clients once 127.77.0.1 "$BACK"
sed -i "s|^routes:|  - {address: \"[::]:$SPARE\", intercept: {mode: steer, interfaces: [nowhere0]}}\n&|" "$CONFIG"
! "$PROXYD" reload --control "$CONTROL" 2>"$TMP/refused" || fail "a reload while drained, with an interface that is not there"
assert_passes 0 clients once 127.77.0.1 "$BACK"
cp "$TMP/before.yaml" "$CONFIG"
"$PROXYD" reload --control "$CONTROL" || fail "the reload after draining was refused"
assert_no_second "after draining and a reload"
assert_passes 1 clients once 127.77.0.1 "$BACK"
sed "s|^routes:|  - {address: \"[::]:$LOCAL\", intercept: {cgroup: $CLIENTS}}\n&|" "$CONFIG" >"$TMP/second.yaml"
! "$PROXYD" check -c "$TMP/second.yaml" >"$TMP/second.log" 2>&1 || fail "two listeners intercept the same cgroup"
grep -q 'listeners\[1\].intercept.cgroup: listeners\[0\] intercepts its IPv4 connections; have one listener' \
	"$TMP/second.log" || fail "$(cat "$TMP/second.log")"

# proxyd in the very cgroup: its own connections are not taken, or it would meet itself.
echo "$PROXYD_PID" >"$CLIENTS/cgroup.procs"
assert_passes 1 clients once 127.77.0.1 "$BACK"
send_home "$PROXYD_PID"
stop_proxyd
clients once 127.77.0.1 "$BACK" || fail "no connection after proxyd's end"

# Killed, it leaves nothing behind, and nobody is sent to a port that is dead.
begin
assert_passes 1 clients once 127.77.0.1 "$BACK"
remember_traces
kill -9 "$PROXYD_PID"
proxyd_ended 20
assert_nothing_in_kernel
clients once 127.77.0.1 "$BACK" || fail "no connection after kill -9"

# The other choice: nobody gets past proxyd when it is gone, nor to whoever has taken its port.
pins() { find /sys/fs/bpf -name 'proxyd_*'; }
assert_refused() { # ADDRESS WHEN
	local status=0
	within curl -sS --max-time 60 -o /dev/null "http://$1:$BACK/" 2>"$TMP/refused" || status=$?
	# 7: curl could not connect.
	assert_equal 7 "$status" "curl's exit status for $1 $2"
}
end_closed() { # SIGNAL
	kill "-$1" "$PROXYD_PID"
	BPF_IDS=()
	proxyd_ended 20
}
begin_closed() {
	write_config ", on_exit: closed"
	start_proxyd -c "$CONFIG"
	assert_passes 1 clients once 127.77.0.1 "$BACK"
	assert_passes 1 clients once ::1 "$BACK"
}
# As the process with that number, which is free. Only the first PID namespace gives what is asked for.
within_as() { # PID COMMAND...
	python3 - "$CLIENTS/cgroup.procs" "$@" <<-'END'
		import os, sys
		cgroup, wanted, *command = sys.argv[1:]
		for _ in range(1000):
		    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
		        last.write(str(int(wanted) - 1))
		    child = os.fork()
		    if not child and os.getpid() != int(wanted):
		        os._exit(99)
		    if not child:
		        with open(cgroup, "w") as procs:
		            procs.write(wanted)
		        os.execvp(command[0], command)
		    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
		    if status != 99:
		        sys.exit(status)
		sys.exit(99)
	END
}
begin_closed
end_closed KILL
assert_refused 127.77.0.1 "after kill -9, closed"
if [[ -w /proc/sys/kernel/ns_last_pid && $(readlink /proc/self/ns/pid) == "pid:[4026531836]" ]]; then
	status=0
	within_as "$PROXYD_PID" curl -sS --max-time 60 -o /dev/null "http://127.77.0.1:$BACK/" || status=$?
	if ((status == 99)); then
		say "not tried: who gets proxyd's number, as others do"
	else
		assert_equal 7 "$status" "curl's exit status as the process with proxyd's number"
	fi
else
	say "not tried: who gets proxyd's number"
fi
assert_refused "[::1]" "after kill -9, closed"
spawn thief python3 -m http.server "$FRONT" --bind ::
wait_listening "$FRONT" "who takes proxyd's port"
assert_refused 127.77.0.1 "with another at proxyd's port"
end "$SPAWNED_PID"
peers once 127.77.0.1 "$BACK" || fail "no connection from outside the cgroup"
# The next proxyd takes its place, and there is no moment at which anybody gets past both.
some_flows() { (($(total) > 1)); }
spawn seeing python3 "$ROOT/tests/transparent/gap.py" serve 127.77.0.200 "$SPARE"
SEEING=$SPAWNED_PID
wait_until 60 grep -q ready "$TMP/seeing.log" || fail "no server that sees its clients"
# shellcheck disable=SC2016 # for the inner shell
spawn gap sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CLIENTS" \
	python3 "$ROOT/tests/transparent/gap.py" connect 127.77.0.200 "$SPARE" "$TMP/stop" 127.88.0.1
GAP=$SPAWNED_PID
for _ in 1 2 3; do
	start_proxyd -c "$CONFIG"
	wait_until 60 some_flows || fail "nothing goes by proxyd"
	end_closed KILL
done
start_proxyd -c "$CONFIG"
touch "$TMP/stop"
wait_until 60 gone "$GAP" || fail "who looks for a gap does not end"
wait "$GAP" || fail "while proxyd started: $(cat "$TMP/gap.log")"
forget "$GAP"
say "while proxyd started: $(cat "$TMP/gap.log")"
end "$SEEING"
end_closed KILL
begin_closed
# What is left behind goes by the cgroup, whatever the listener is called.
write_config ", on_exit: closed"
sed -i 's/name: out/name: renamed/' "$CONFIG"
"$PROXYD" reload --control "$CONTROL" || fail "the reload with another name was refused"
end_closed KILL
start_proxyd -c "$CONFIG"
assert_passes 1 clients once 127.77.0.1 "$BACK"
end_closed TERM
assert_refused 127.77.0.1 "after SIGTERM, closed"
assert_equal 2 "$(pins | wc -l)" "programs that are pinned"
"$PROXYD" rules --clear
clients once 127.77.0.1 "$BACK" || fail "no connection after rules --clear"
begin_closed
# A service that was restarted has another cgroup of the same name.
rmdir "$CLIENTS"
mkdir "$CLIENTS"
"$PROXYD" reload --control "$CONTROL" || fail "the reload with the cgroup made anew was refused"
assert_passes 1 clients once 127.77.0.1 "$BACK"
# A reload that is refused leaves nothing, and the rules as they were.
sed "s|^routes:|  - {address: \"[::]:$LOCAL\", intercept: {mode: redirect, traffic: local, on_exit: closed}}\n\
  - {address: \"[::]:$SPARE\", intercept: {mode: steer, interfaces: [nowhere0]}}\n&|" "$CONFIG" >"$TMP/refused.yaml"
cp "$CONFIG" "$TMP/before.yaml"
cp "$TMP/refused.yaml" "$CONFIG"
! "$PROXYD" reload --control "$CONTROL" 2>"$TMP/refused" || fail "a reload with an interface that is not there"
cp "$TMP/before.yaml" "$CONFIG"
assert_equal "" "$(nft list tables)" "tables of a reload that was refused"
assert_passes 1 clients once 127.77.0.1 "$BACK"
remember_traces
echo "listeners: 127.0.0.1:$LOCAL" >"$CONFIG"
echo "routes: {reject: close}" >>"$CONFIG"
"$PROXYD" reload --control "$CONTROL" || fail "the reload without the listener was refused"
clients once 127.77.0.1 "$BACK" || fail "no connection after the listener has gone"
assert_equal "" "$(pins)" "what is pinned"
stop_proxyd
say "all as it should be"
