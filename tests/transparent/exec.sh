#!/bin/bash
# proxyd exec: a command with a proxy beside it, and the example of a mesh sidecar, in both directions.
if [[ -z ${NAMESPACE-} ]] && ((EUID == 0)); then
	NAMESPACE=ours exec unshare --net "$0" "$@"
fi
source "$(dirname "$0")/../lib.sh"
need_root
need bpftool curl ip jq nsenter ps python3
ip link set lo up
need_kernel_lane
free_port OUTBOUND
free_port INBOUND
free_port SERVICE
free_port REMOTE
export OUTBOUND_PORT=$OUTBOUND INBOUND_PORT=$INBOUND SERVICE_PORT=$SERVICE
export PROXYD CONTROL

# ---- another namespace: who calls the service, and whom it calls ----

spawn neighbour unshare --net sleep 600
NEIGHBOUR=$SPAWNED_PID
apart() {
	local theirs
	theirs=$(readlink "/proc/$NEIGHBOUR/ns/net") && [[ $theirs != "$(readlink /proc/self/ns/net)" ]]
}
wait_until 60 apart || fail "no second namespace"
neighbour() { nsenter --net="/proc/$NEIGHBOUR/ns/net" "$@"; }
ip link add here type veth peer name there netns "$NEIGHBOUR"
ip address add 198.18.0.1/24 dev here
ip address add fd00:18::1/64 dev here nodad
ip link set here up
neighbour ip address add 198.18.0.2/24 dev there
neighbour ip address add fd00:18::2/64 dev there nodad
neighbour ip link set there up
neighbour ip link set lo up
mkdir "$TMP/remote"
head -c 3000000 /dev/urandom >"$TMP/remote/file"
spawn remote nsenter --net="/proc/$NEIGHBOUR/ns/net" python3 -m http.server "$REMOTE" --bind :: -d "$TMP/remote"
remote_listens() { [[ -n $(neighbour ss -Hltn "sport = :$REMOTE") ]]; }
wait_until 60 remote_listens || fail "the remote server does not listen"

# The relay, which starts at once; the example below has the lane of its choice.
cat >"$TMP/config.yaml" <<END
lane: relay
listeners:
  - {name: out, address: "[::]:$OUTBOUND", intercept: {cgroup: "\${PROXYD_CGROUP}"}}
routes: {original_destination: true}
END
run() { "$PROXYD" exec -c "$TMP/config.yaml" --control "$CONTROL" "$@"; }

# ---- the status is the command's ----

ends_with() { # STATUS COMMAND...
	local wanted=$1 status=0
	shift
	"$@" >"$TMP/once.log" 2>&1 || status=$?
	assert_equal "$wanted" "$status" "exit status of: $* ($(tail -n 1 "$TMP/once.log"))"
}
ends_with 0 run -- true
ends_with 42 run -- sh -c 'exit 42'
ends_with 143 run -- sh -c 'kill -TERM $$'
ends_with 127 run -- /nowhere/to/be/found
ends_with 126 run -- "$TMP/config.yaml"
ends_with 125 "$PROXYD" exec -c /nowhere/to/be/found -- true
ends_with 2 "$PROXYD" exec -c "$TMP/config.yaml"
ends_with 125 run --cgroup /tmp -- true
grep -q -- '--cgroup /tmp: .*name a directory of a cgroup v2' "$TMP/once.log" || fail "$(cat "$TMP/once.log")"

# ---- its connections, and those of its children, go by way of the proxy ----

cat >"$TMP/look" <<'END'
# FILE URL: fetch it, as a child of a child, and say who the peer was, the flows, and the cgroup
(curl -sS --max-time 60 -o "$1" -w '%{remote_ip} ' "$2") && "$PROXYD" status --json --control "$CONTROL" | jq -j .flows.total
sed -n 's/^0::.*\// /p' /proc/self/cgroup
END
for peer in 198.18.0.2 fd00:18::2; do
	url=$peer
	[[ $peer != *:* ]] || url="[$peer]"
	said=$(run -- sh "$TMP/look" "$TMP/got" "http://$url:$REMOTE/file")
	assert_same_file "$TMP/remote/file" "$TMP/got" "download from $peer"
	[[ $said =~ ^$peer\ 1\ proxyd-exec-[0-9]+$ ]] || fail "through the proxy from $peer: '$said'"
done

HIERARCHY=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
no_scopes() { # PID
	[[ -z $HIERARCHY ]] || [[ -z $(find "$HIERARCHY" -name "proxyd-exec-$1" -print -quit 2>/dev/null) ]]
}

# ---- signals are the command's, and what it leaves behind goes on alone ----

cat >"$TMP/wait" <<'END'
trap 'echo usr1' USR1
trap 'exit 7' TERM
sleep 600 &
echo "$!" >"$1.left"
echo ready >"$1"
while :; do wait; done
END
spawn command "$PROXYD" exec -c "$TMP/config.yaml" --control "$CONTROL" -- sh "$TMP/wait" "$TMP/ready"
COMMAND=$SPAWNED_PID
wait_until 60 test -s "$TMP/ready" || fail "the command has not started"
LEFT=$(cat "$TMP/ready.left")
SPAWNED+=("$LEFT left")
PROXYD_PID=$("$PROXYD" status --json --control "$CONTROL" | jq -r .pid)
remember_traces
kill -USR1 "$COMMAND"
wait_until 60 grep -q usr1 "$TMP/command.log" || fail "SIGUSR1 was not passed on"
kill -TERM "$COMMAND"
wait_until 60 gone "$COMMAND" || fail "it does not end"
status=0
wait "$COMMAND" || status=$?
forget "$COMMAND"
assert_equal 7 "$status" "what the command makes of SIGTERM"
gone "$PROXYD_PID" || fail "the proxy is left"
assert_nothing_in_kernel
no_scopes "$COMMAND" || fail "its cgroup is left"
alive "$LEFT" || fail "what the command left in the background was ended"
kill "$LEFT"
forget "$LEFT"

# ---- the proxy is killed: connections go where they are meant to ----

cat >"$TMP/kill" <<'END'
kill -9 "$("$PROXYD" status --json --control "$CONTROL" | jq -r .pid)"
for i in $(seq 300); do
	curl -sS --max-time 60 -o "$1" "$2" && exit 3
	sleep 0.2
done
END
status=0
run -- sh "$TMP/kill" "$TMP/got" "http://198.18.0.2:$REMOTE/file" >"$TMP/kill.log" 2>&1 || status=$?
assert_equal 3 "$status" "exit status of a command that lost its proxy"
assert_same_file "$TMP/remote/file" "$TMP/got" "download without the proxy"
grep -q 'the proxy was killed (Killed); the command goes on without it' "$TMP/kill.log" ||
	fail "not a word about the proxy: $(cat "$TMP/kill.log")"

# ---- it is told to end before its proxy is ready, which waits for whoever writes the file ----

mkfifo "$TMP/nobody-writes"
starting() { [[ -n $(ps -o pid= --ppid "$COMMAND") ]]; }
spawn early "$PROXYD" exec -c "$TMP/nobody-writes" --control "$CONTROL" -- touch "$TMP/too-late"
COMMAND=$SPAWNED_PID
wait_until 20 starting || fail "no proxy"
kill -TERM "$COMMAND"
wait_until 20 gone "$COMMAND" || fail "it does not end while its proxy starts"
status=0
wait "$COMMAND" || status=$?
forget "$COMMAND"
assert_equal 143 "$status" "exit status of one that was ended early"
[[ ! -e $TMP/too-late ]] || fail "the command was run"
no_scopes "$COMMAND" || fail "the cgroup of one that was ended early is left"

# ---- another one has its number, in another PID namespace or before it was killed ----

OWN=$HIERARCHY$(sed -n 's/^0:://p' /proc/self/cgroup)
if [[ -n $HIERARCHY && -w $OWN/cgroup.procs ]]; then
	# shellcheck disable=SC2016 # for the inner shell
	said=$(bash -c 'mkdir "$1/proxyd-exec-$$" && echo "$$" && exec "${@:2}"' bash "$OWN" \
		"$PROXYD" exec -c "$TMP/config.yaml" --control "$CONTROL" -- sed -n 's/^0::.*\/proxyd/proxyd/p' /proc/self/cgroup) || true
	rmdir "$OWN/proxyd-exec-${said%%$'\n'*}" || fail "what another one has was taken away"
	assert_equal "proxyd-exec-${said%%$'\n'*}-2" "${said##*$'\n'}" "the second cgroup of a number"
	no_scopes "${said%%$'\n'*}-2" || fail "the second cgroup of a number is left"
fi

# ---- an existing cgroup ----

if [[ -n $HIERARCHY ]] && mkdir "$HIERARCHY/sidelane-exec-$$"; then
	SLICE=$HIERARCHY/sidelane-exec-$$
	said=$(run --cgroup "$SLICE" -- sh "$TMP/look" "$TMP/got" "http://198.18.0.2:$REMOTE/file")
	[[ $said == "198.18.0.2 1 sidelane-exec-$$" ]] || fail "in a cgroup that was there: '$said'"
	[[ -d $SLICE ]] || fail "a cgroup of somebody else was removed"
	spawn proxy "$PROXYD" exec -c "$TMP/config.yaml" --control "$CONTROL" --cgroup "$SLICE"
	PROXY=$SPAWNED_PID
	wait_until 60 grep -qw ready "$TMP/proxy.log" || fail "no proxy for a cgroup alone"
	said=$(sh -c 'echo $$ >"$0/cgroup.procs" && exec sh "$@"' "$SLICE" "$TMP/look" "$TMP/got" "http://198.18.0.2:$REMOTE/file")
	[[ $said == "198.18.0.2 1 sidelane-exec-$$" ]] || fail "who is in the cgroup is not served: '$said'"
	end "$PROXY"
	wait_until 60 rmdir "$SLICE" || fail "somebody is left in $SLICE"
else
	say "no cgroup can be made by hand; --cgroup is left out"
fi

# ---- the example: a service that calls, and is called ----

cat >"$TMP/service" <<'END'
cd "$1"
curl -sS --max-time 60 -o got -w '%{remote_ip}' "$2" >peer || exit 1
exec python3 -m http.server "$SERVICE_PORT" --bind 127.0.0.1
END
mkdir "$TMP/service.d"
spawn service "$PROXYD" exec -c "$ROOT/docs/examples/mesh-sidecar.yaml" --control "$CONTROL" -- \
	sh "$TMP/service" "$TMP/service.d" "http://198.18.0.2:$REMOTE/file"
SIDECAR=$SPAWNED_PID
wait_listening "$SERVICE" "the service"
assert_equal 198.18.0.2 "$(cat "$TMP/service.d/peer")" "whom the service takes for its peer"
assert_same_file "$TMP/remote/file" "$TMP/service.d/got" "outbound"
assert_equal 1 "$(proxyd_status .flows.total)" "flows outbound"
neighbour curl -sS --max-time 60 -o "$TMP/got" "http://198.18.0.1:$INBOUND/got"
assert_same_file "$TMP/remote/file" "$TMP/got" "inbound"
assert_equal 2 "$(proxyd_status .flows.total)" "flows in both directions"
kill -TERM "$SIDECAR"
wait_until 60 gone "$SIDECAR" || fail "the sidecar does not end"
status=0
wait "$SIDECAR" || status=$?
forget "$SIDECAR"
assert_equal 143 "$status" "exit status of a service that was ended"
no_scopes "$SIDECAR" || fail "the service's cgroup is left"
for log in "$TMP"/*.log; do
	assert_no_sanitizer_report "$log"
done
say "all as it should be"
