#!/bin/bash
# What keeps proxyd from starting: each with an exit status of its own, and one line with the remedy.
. "$(dirname "$0")/../lib.sh"
need python3

EXIT_LISTEN=3
EXIT_USAGE=2
EXIT_CONTROL=5
EXIT_CGROUP=6

free_port BACKEND
free_port FRONT
UPSTREAM=(--upstream "127.0.0.1:$BACKEND")

# Runs proxyd, which must not start.
refused() { # STATUS "WORD / WORD..." ARGS...
	local expected=$1 words=$2 status=0 word
	shift 2
	timeout 60 "$PROXYD" run "$@" >"$TMP/out" 2>"$TMP/refused.log" || status=$?
	assert_equal "$expected" "$status" "exit status of: proxyd run $*"
	assert_equal 1 "$(wc -l <"$TMP/refused.log")" "lines on standard error of: proxyd run $*"
	while read -r word; do
		grep -qF -e "$word" "$TMP/refused.log" || fail "not a word of '$word' about: proxyd run $*"
	done <<<"${words// \/ /$'\n'}"
	assert_no_sanitizer_report "$TMP/refused.log"
}

echoes() {
	assert_equal "verified 100000" "$(timeout 60 python3 "$ROOT/tests/peer.py" half-close "$FRONT")" "echo"
}

test_address_in_use() {
	local others=(--control "$TMP/other.sock" --lane relay)
	refused $EXIT_LISTEN "127.0.0.1:$BACKEND / another process" \
		--listen "127.0.0.1:$BACKEND" "${UPSTREAM[@]}" "${others[@]}"
	# With SO_REUSEPORT a second proxyd could take half of the first one's connections.
	start_proxyd --listen "127.0.0.1:$FRONT" "${UPSTREAM[@]}" --lane relay
	refused $EXIT_LISTEN "127.0.0.1:$FRONT / another process" \
		--listen "127.0.0.1:$FRONT" "${UPSTREAM[@]}" "${others[@]}"
	# The first of two addresses is free again afterwards.
	free_port GOOD
	refused $EXIT_LISTEN "127.0.0.1:$FRONT" --listen "127.0.0.1:$GOOD" \
		--listen "127.0.0.1:$FRONT" "${UPSTREAM[@]}" "${others[@]}"
	! listening "$GOOD" || fail "port $GOOD is still open"
	echoes
	stop_proxyd
}

test_address_of_others() {
	refused $EXIT_LISTEN "192.0.2.77:$FRONT / no such address" \
		--listen "192.0.2.77:$FRONT" "${UPSTREAM[@]}" --control "$TMP/other.sock" --lane relay
}

# Which listener takes a client that comes to 127.0.0.1.
taken_by() { # LISTENER
	local client
	exec {client}<>"/dev/tcp/127.0.0.1/$FRONT"
	wait_until 60 is_taken_by "$1" || fail "$1 did not take the client"
	exec {client}>&-
	assert_no_active_flows
}

is_taken_by() { # LISTENER
	[[ $("$PROXYD" connections --json --control "$CONTROL" | jq -r '.connections[].listener') == "$1" ]]
}

# One port of all addresses of both families, in either order, and of one address beside. The closest
# takes the client. A reload may add one; another process is found all the same.
test_all_addresses() {
	local others=(--control "$TMP/other.sock" --lane relay) config=$TMP/all.yaml
	start_proxyd --listen "0.0.0.0:$FRONT" --listen "[::]:$FRONT" --listen "127.0.0.1:$FRONT" \
		"${UPSTREAM[@]}" --lane relay
	taken_by listener-3
	refused $EXIT_LISTEN "[::]:$FRONT / another process" --listen "[::]:$FRONT" \
		--listen "0.0.0.0:$FRONT" "${UPSTREAM[@]}" "${others[@]}"
	stop_proxyd
	printf '%s\n' "listeners: ['[::]:$FRONT']" "upstreams: {name: web, endpoints: 127.0.0.1:$BACKEND}" \
		"routes: {upstream: web}" >"$config"
	start_proxyd -c "$config" --lane relay
	sed -i "1s/.*/listeners: ['[::]:$FRONT', '0.0.0.0:$FRONT']/" "$config"
	"$PROXYD" reload --control "$CONTROL" || fail "the reload was refused"
	taken_by listener-2
	stop_proxyd
}

test_control_unusable() {
	local run=(--listen "127.0.0.1:$FRONT" "${UPSTREAM[@]}" --lane relay --control) long
	printf -v long "$TMP/%0200d" 0
	echo "do not touch" >"$TMP/file"
	refused $EXIT_CONTROL "$TMP/no/such/folder/socket / No such file / --control" \
		"${run[@]}" "$TMP/no/such/folder/socket"
	refused $EXIT_CONTROL "/proc/proxyd.sock / --control" "${run[@]}" /proc/proxyd.sock
	refused $EXIT_USAGE "$long / --control / 107 bytes" "${run[@]}" "$long"
	refused $EXIT_CONTROL "$TMP/file / --control" "${run[@]}" "$TMP/file"
	assert_equal "do not touch" "$(cat "$TMP/file")" "a file in the control socket's place"
}

test_control_in_use() {
	free_port SECOND
	start_proxyd --listen "127.0.0.1:$FRONT" "${UPSTREAM[@]}" --lane relay
	assert_equal 600 "$(stat -c %a "$CONTROL")" "permissions of the control socket"
	refused $EXIT_CONTROL "$CONTROL / another proxyd / --control" --listen "127.0.0.1:$SECOND" \
		"${UPSTREAM[@]}" --lane relay --control "$CONTROL"
	assert_equal "$PROXYD_PID" "$(proxyd_status .pid)" "who answers at the control socket"
	stop_proxyd
	[[ ! -e $CONTROL ]] || fail "the control socket is left behind"
}

test_control_stale() {
	start_proxyd --listen "127.0.0.1:$FRONT" "${UPSTREAM[@]}" --lane relay
	kill -KILL "$PROXYD_PID"
	proxyd_ended 20
	[[ -S $CONTROL ]] || fail "no stale control socket to test with"
	start_proxyd --listen "127.0.0.1:$FRONT" "${UPSTREAM[@]}" --lane relay
	echoes
	assert_equal "$PROXYD_PID" "$(proxyd_status .pid)" "who answers at the control socket"
	stop_proxyd
}

# Several at once, all of which find the dead socket of a killed one: one owner, a clear error each for
# the others.
test_control_race() {
	local round own pids status i won
	local ports=()
	for i in 1 2 3 4 5 6; do
		free_port own
		ports+=("$own")
	done
	for ((round = 0; round < 10; round++)); do
		python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$TMP/race.sock"
		pids=() won=()
		for own in "${ports[@]}"; do
			spawn "race-$own" "$PROXYD" run --listen "127.0.0.1:$own" "${UPSTREAM[@]}" \
				--lane relay --workers 1 --control "$TMP/race.sock"
			pids+=("$SPAWNED_PID")
		done
		wait_until 60 race_decided || fail "round $round: no owner is found"
		for i in "${!pids[@]}"; do
			grep -qw ready "$TMP/race-${ports[i]}.log" && won+=("${pids[i]}") && continue
			status=0
			wait "${pids[i]}" || status=$?
			forget "${pids[i]}"
			assert_equal "$EXIT_CONTROL" "$status" "exit status of one that comes too late"
			assert_equal 1 "$(wc -l <"$TMP/race-${ports[i]}.log")" "lines on standard error"
			grep -q 'another proxyd' "$TMP/race-${ports[i]}.log" || fail "it does not say why"
		done
		assert_equal "${won[*]}" "$("$PROXYD" status --json --control "$TMP/race.sock" | jq .pid)" \
			"round $round: who has the control socket"
		kill -TERM "${won[0]}"
		wait_until 60 gone "${won[0]}" || fail "it does not end"
		forget "${won[0]}"
		! compgen -G "$TMP/race.sock*" || fail "files of the control socket are left behind"
	done
}

# Each is ready or has ended.
race_decided() {
	local i
	for i in "${!pids[@]}"; do
		grep -qw ready "$TMP/race-${ports[i]}.log" || gone "${pids[i]}" || return 1
	done
}

test_status_of_nobody() {
	local status=0
	"$PROXYD" status --json --control "$TMP/nobody.sock" >"$TMP/out" 2>"$TMP/refused.log" || status=$?
	assert_equal $EXIT_CONTROL "$status" "exit status of proxyd status"
	assert_equal 1 "$(wc -l <"$TMP/refused.log")" "lines on standard error"
	grep -qF "$TMP/nobody.sock" "$TMP/refused.log" || fail "status does not say where it has asked"
}

# With a directory that is none, or no cgroup v2.
test_cgroup_unusable() {
	local run=(--listen "127.0.0.1:$FRONT" "${UPSTREAM[@]}" --control "$CONTROL" --lane kernel --cgroup)
	need_root
	need_kernel_lane
	refused $EXIT_CGROUP "$TMP/no-cgroup / cgroup v2" "${run[@]}" "$TMP/no-cgroup"
	refused $EXIT_CGROUP "$TMP / cgroup v2" "${run[@]}" "$TMP"
}

spawn echo python3 "$ROOT/tests/peer.py" echo "$BACKEND"
wait_listening "$BACKEND" "the echo server"
test_address_in_use
test_address_of_others
test_all_addresses
test_control_unusable
test_control_in_use
test_control_stale
test_control_race
test_status_of_nobody
test_cgroup_unusable # last, as it is skipped where there is no kernel lane
