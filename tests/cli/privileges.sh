#!/bin/bash
# Without a capability or a cgroup that the kernel lane needs: said once, and the next best is taken, which
# works; an error only if the kernel lane was demanded.
. "$(dirname "$0")/../lib.sh"
need python3 setpriv unshare
need_root
need_kernel_lane

EXIT_CAPABILITY=4

free_port BACKEND
free_port FRONT
RUN=(--listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND")

without() { # CAPABILITY
	PROXYD_PREFIX=(setpriv "--bounding-set=-$1" "--inh-caps=-$1")
}

exchange() {
	timeout 60 python3 "$ROOT/tests/peer.py" send "$FRONT" 0.5 >"$TMP/send.log" ||
		fail "traffic: $(cat "$TMP/send.log")"
}

assert_said_once() { # PATTERN
	assert_equal 1 "$(grep -cE -e "$1" "$PROXYD_LOG")" "lines that say '$1'"
}

# What the capability is for must be said too.
test_capability() { # CAPABILITY
	local name status=0
	name=CAP_$(tr '[:lower:]' '[:upper:]' <<<"$1")
	without "$1"
	start_proxyd "${RUN[@]}" --lane auto
	assert_said_once "${name}[^;]* to "
	exchange
	assert_equal false "$(proxyd_status '.kernel_lane.available | tostring')" "kernel lane"
	assert_equal 0 "$(proxyd_status .bytes.kernel)" "bytes by the kernel lane"
	assert_number "$(proxyd_status .bytes.relay)" -gt 100000 "bytes by the relay"
	stop_proxyd

	timeout 60 "${PROXYD_PREFIX[@]}" "$PROXYD" run "${RUN[@]}" --control "$CONTROL" --lane kernel \
		>"$TMP/refused.log" 2>&1 || status=$?
	assert_equal $EXIT_CAPABILITY "$status" "exit status of --lane kernel without $name"
	assert_equal 1 "$(wc -l <"$TMP/refused.log")" "lines on standard error without $name"
	grep -qE "${name}[^;]* to " "$TMP/refused.log" || fail "does not say what $name is for"
}

# Demanded and not needed: says nothing.
test_relay_needs_nothing() {
	chmod 777 "$TMP"
	PROXYD_PREFIX=(setpriv --reuid=nobody --regid=nogroup --clear-groups --bounding-set=-all)
	start_proxyd "${RUN[@]}" --lane relay
	! grep -q CAP_ "$PROXYD_LOG" || fail "--lane relay asks for a capability"
	exchange
	stop_proxyd
	chmod 755 "$TMP"
}

# What fails is in the table; nothing is said of a listener, which whoever asks does not have.
test_doctor() {
	local status=0
	setpriv --reuid=nobody --regid=nogroup --clear-groups --bounding-set=-all "$PROXYD" doctor \
		>"$TMP/doctor.out" 2>"$TMP/doctor.err" || status=$?
	assert_equal 1 "$status" "exit status of the doctor without capabilities"
	! grep '^proxyd: ' "$TMP/doctor.err" >&2 || fail "the doctor says more than its table"
	assert_number "$(grep -c -e '-> ' "$TMP/doctor.out")" -eq "$(grep -c ' failed ' "$TMP/doctor.out")" "remedies"
}

# No cgroup v2 is mounted, but proxyd may mount it for itself.
test_unmounted_cgroup() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	PROXYD_PREFIX=(unshare --mount bash -c 'umount -a -l -t cgroup2; exec "$@"' bash)
	start_proxyd "${RUN[@]}" --lane kernel
	assert_equal sock_ops "$(proxyd_status .kernel_lane.enrolment)" "enrolment"
	exchange
	assert_number "$(proxyd_status .bytes.kernel)" -gt 100000 "bytes by the kernel lane"
	stop_proxyd
}

# No cgroup v2 at all: sockets are enrolled from user space.
test_no_cgroup() {
	# shellcheck disable=SC2016 # expanded by the inner shell
	PROXYD_PREFIX=(unshare --mount bash -c 'umount -a -l -t cgroup2
		exec setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin "$@"' bash)
	start_proxyd "${RUN[@]}" --lane kernel
	assert_said_once 'cgroup'
	assert_equal proxyd "$(proxyd_status .kernel_lane.enrolment)" "enrolment"
	exchange
	assert_number "$(proxyd_status .bytes.kernel)" -gt 100000 "bytes by the kernel lane"
	stop_proxyd
}

# Not at the first connection, and for every mode that needs it.
test_interception() { # MODE
	local status=0
	without net_admin
	printf 'lane: relay\nlisteners: {address: "0.0.0.0:%s", intercept: {mode: %s}}\n%s\n' "$FRONT" "$1" \
		'routes: {original_destination: true}' >"$TMP/$1.yaml"
	timeout 60 "${PROXYD_PREFIX[@]}" "$PROXYD" run -c "$TMP/$1.yaml" --control "$CONTROL" \
		>"$TMP/refused.log" 2>&1 || status=$?
	assert_equal 1 "$status" "exit status of mode $1 without CAP_NET_ADMIN"
	grep -q 'missing CAP_NET_ADMIN to mark' "$TMP/refused.log" || fail "mode $1: does not say what is missing"
}

spawn echo python3 "$ROOT/tests/peer.py" echo "$BACKEND"
wait_listening "$BACKEND" "the echo server"
for capability in bpf net_admin perfmon; do
	test_capability "$capability"
done
for mode in redirect tproxy steer; do
	test_interception "$mode"
done
test_relay_needs_nothing
test_doctor
test_unmounted_cgroup
test_no_cgroup
