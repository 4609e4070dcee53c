#!/bin/bash
# Two namespaces that have everything in common: addresses, ports, the cgroup of the clients, and with
# that the 4-tuples on loopback, at the same time. No byte crosses from one to the other.
#
#   namespaces.sh kernel|relay|auto
#
#   CONNECTIONS  in each (default 5000)
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need_root
need bpftool ip jq nsenter
CHURN=$BUILD/tests/transparent/churn
[[ -x $CHURN ]] || fail "$CHURN is not there: build it first"
CONNECTIONS=${CONNECTIONS:-5000} SERVERS=20
((QUICK == 0)) || CONNECTIONS=1000
SEED=${SEED:-$SRANDOM}
free_port FRONT
free_port BACK

HIERARCHY=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
CLIENTS=
remove_cgroup() { [[ -z $CLIENTS ]] || wait_until 5 rmdir "$CLIENTS" || true; }
trap 'ENDED=$?; (exit "$ENDED") || true; for ONE in "${SPAWNED[@]}"; do end "${ONE%% *}"; done; remove_cgroup; (exit "$ENDED") || cleanup; cleanup' EXIT
[[ -n $HIERARCHY ]] || skip "no cgroup v2 is mounted"
mkdir "$HIERARCHY/sidelane-namespaces-$$" || skip "no cgroup can be made in $HIERARCHY"
CLIENTS=$HIERARCHY/sidelane-namespaces-$$

cat >"$TMP/config.yaml" <<END
lane: $LANE
listeners:
  - {name: out, address: "[::]:$FRONT", intercept: {cgroup: $CLIENTS, exclude: 127.77.0.1}}
routes: {original_destination: true}
END

apart() {
	local theirs
	theirs=$(readlink "/proc/$1/ns/net") && [[ $theirs != "$(readlink /proc/self/ns/net)" ]]
}

# Sets PROXYDS, INSIDE_1 and INSIDE_2.
begin() { # REALM
	local holder
	local -n inside=INSIDE_$1
	spawn "holder-$1" unshare --net sleep 600
	holder=$SPAWNED_PID
	wait_until 60 apart "$holder" || fail "no namespace"
	inside=(nsenter "--net=/proc/$holder/ns/net")
	"${inside[@]}" ip link set lo up
	spawn "servers-$1" "${inside[@]}" "$CHURN" serve "$BACK" "$SERVERS" "$1"
	wait_until 60 grep -q ready "$TMP/servers-$1.log" || fail "the servers are not ready"
	PROXYD_PREFIX=("${inside[@]}")
	CONTROL=$TMP/control-$1.sock
	start_proxyd -c "$TMP/config.yaml"
	PROXYDS+=("$PROXYD_PID")
}
PROXYDS=()
begin 1
begin 2

PIDS=()
connect() { # REALM
	# shellcheck disable=SC2178 # to an array
	local -n inside=INSIDE_$1
	# shellcheck disable=SC2016 # for the inner shell
	spawn "clients-$1" sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CLIENTS" "${inside[@]}" \
		"$CHURN" run "$BACK" "$SERVERS" "$1" "$CONNECTIONS" "$SEED"
	PIDS+=("$SPAWNED_PID")
}
connect 1
connect 2
for realm in 1 2; do
	status=0
	wait "${PIDS[realm - 1]}" || status=$?
	forget "${PIDS[realm - 1]}"
	assert_equal 0 "$status" "realm $realm, seed $SEED: $(tail -n 1 "$TMP/clients-$realm.log")"
	! grep wrong "$TMP/servers-$realm.log" || fail "seed $SEED: bytes crossed into realm $realm"
	say "realm $realm, seed $SEED: $(tail -n 1 "$TMP/clients-$realm.log")"
done
for realm in 1 2; do
	CONTROL=$TMP/control-$realm.sock
	assert_no_active_flows
	assert_number "$(proxyd_status .flows.total)" -ge $((CONNECTIONS / 2)) "flows through proxyd $realm"
done
kill -TERM "${PROXYDS[@]}"
for realm in 1 2; do
	PROXYD_PID=${PROXYDS[realm - 1]} PROXYD_LOG=$TMP/proxyd-$realm.log
	proxyd_ended 20
	assert_equal 0 "$PROXYD_EXIT" "proxyd's exit status after SIGTERM"
done
