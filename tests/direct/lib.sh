# shellcheck shell=bash
# What the tests of `proxyd accelerate` share: a cgroup and a BPF file system of their own, which are
# gone when the test ends. Source it instead of ../lib.sh.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
HERE=$(dirname "${BASH_SOURCE[0]}")
need_root
need bpftool ip jq python3 unshare

# In a network namespace of its own with a small table of connections: a scan walks the whole table, and
# the host's takes it 10 ms. The table has the size that the namespace says in which another is made.
enter_namespace() { # outer|inner ARGS...
	export DIRECT_NAMESPACE=$1
	rm -r "$TMP"
	exec unshare --net "$0" "${@:2}"
}
case ${DIRECT_NAMESPACE-} in
'')
	TCP_MEM=$(</proc/sys/net/ipv4/tcp_mem) # not to be seen inside
	export TCP_MEM
	enter_namespace outer "$@"
	;;
outer)
	echo 16384 >/proc/sys/net/ipv4/tcp_child_ehash_entries
	enter_namespace inner "$@"
	;;
esac
ip link set lo up
# These go by the table's size: a storm has more, and a connection that finds no place is reset.
echo 262144 >/proc/sys/net/ipv4/tcp_max_tw_buckets
echo 4096 >/proc/sys/net/ipv4/tcp_max_syn_backlog

PIN=$TMP/bpf
CGROUP_ROOT=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)
CGROUP=$CGROUP_ROOT/sidelane-$TEST-$$
# shellcheck disable=SC2034 # used by the tests
PYTHON=$(python3 -c 'import os; print(os.path.basename(os.readlink("/proc/self/exe")))')
trap end_direct EXIT

begin_direct() {
	[[ -n $CGROUP_ROOT ]] || skip "no cgroup v2 is mounted"
	mkdir "$PIN" "$CGROUP"
	mount -t bpf bpf "$PIN" || skip "cannot mount a BPF file system"
	"$PROXYD" accelerate --cgroup "$CGROUP" --pin "$PIN" --dry-run --duration 1ms >"$TMP/probe.log" 2>&1 ||
		skip "no direct lane here: $(cat "$TMP/probe.log")"
}

end_direct() {
	local status=$? i
	trap '' HUP INT TERM
	set +e # the status must reach cleanup()
	for i in "${!SPAWNED[@]}"; do
		end "${SPAWNED[i]%% *}"
	done
	umount "$PIN" 2>/dev/null || true
	for ((i = 0; i < 50; i++)); do
		find "$CGROUP" -depth -type d -exec rmdir {} + 2>/dev/null && break
		sleep 0.1
	done
	(exit "$status")
	cleanup
}

# Prefix of a command that is to run inside the cgroup.
# shellcheck disable=SC2016,SC2034 # expanded by the shell that it starts; used by the tests
INSIDE=(bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$CGROUP")

# ---- proxyd accelerate ----

accelerate() { "$PROXYD" accelerate --cgroup "$CGROUP" --pin "$PIN" "$@"; }

ACCELERATE_RUNS=0
start_accelerate() { # ARGS...
	ACCELERATE_RUNS=$((ACCELERATE_RUNS + 1))
	spawn "accelerate-$ACCELERATE_RUNS" "$PROXYD" accelerate --cgroup "$CGROUP" --pin "$PIN" "$@"
	ACCELERATE_PID=$SPAWNED_PID
	ACCELERATE_LOG=$TMP/accelerate-$ACCELERATE_RUNS.log
	wait_until 60 grep -qs ready "$ACCELERATE_LOG" || fail "proxyd accelerate is not ready"
}

# SIGTERM: everybody leaves the lane and nothing stays behind.
stop_accelerate() {
	kill -TERM "$ACCELERATE_PID"
	accelerate_ended
}

# Waits for it to end after a signal that was sent.
accelerate_ended() {
	local status=0
	wait_until 60 gone "$ACCELERATE_PID" || fail "proxyd accelerate has not ended after a minute"
	wait "$ACCELERATE_PID" || status=$?
	forget "$ACCELERATE_PID"
	assert_no_sanitizer_report "$ACCELERATE_LOG"
	assert_equal 0 "$status" "exit status of proxyd accelerate"
	assert_nothing_pinned
}

kill_accelerate() {
	kill -KILL "$ACCELERATE_PID"
	wait "$ACCELERATE_PID" 2>/dev/null || true
	forget "$ACCELERATE_PID"
}

assert_nothing_pinned() {
	[[ -z $(find "$PIN" -mindepth 1 -name 'sidelane*') ]] || fail "left in $PIN: $(ls -R "$PIN")"
}

direct_status() { accelerate --status --json --connections | jq -er "$1"; } # JQ-FILTER

sockets() { direct_status ".sockets.$1"; } # REASON

sockets_are() { [[ $(sockets "$1") == "$2" ]]; } # REASON COUNT

wait_sockets() { # REASON COUNT
	wait_until 60 sockets_are "$1" "$2" || fail "not $2 sockets '$1': $(direct_status .sockets)"
}

# A message that meets the scan at its receiver's socket goes by TCP, and one right behind it: the more of
# them, the longer the scan waits for a processor while it holds a socket.
assert_most() { # EXPECTED ACTUAL WHAT
	assert_number "$2" -le "$1" "$3"
	# One direction of two would be half.
	assert_number "$2" -ge $((($1 * 51 + 99) / 100)) "$3, of $1"
}

# ---- both ends of some connections (ends.py) ----

# Starts them in the cgroup, as a coprocess; by TALKER where that is set.
start_ends() { # HOST BACKEND PAIRS ARGS...
	coproc ENDS { exec "${INSIDE[@]}" "${TALKER[@]:-$HERE/ends.py}" "$@" 2>"$TMP/ends.log"; }
	SPAWNED+=("$ENDS_PID ends")
	local answer
	read -r -t 60 answer <&"${ENDS[0]}" || fail "the ends do not start: $(cat "$TMP/ends.log")"
	assert_equal ready "$answer" "first line of the ends"
}

# Sets ANSWER to what they say.
# shellcheck disable=SC2034 # used by the tests
ends() { # COMMAND...
	echo "$*" >&"${ENDS[1]}" || fail "the ends are gone: $(cat "$TMP/ends.log")"
	read -r -t 60 _ ANSWER <&"${ENDS[0]}" || fail "ends $*: $(cat "$TMP/ends.log")"
}

# Until every socket is in the lane, they talk.
talk_into_lane() { # SOCKETS
	local end=$((SECONDS + 60))
	while ((SECONDS < end)); do
		ends talk 30 1
		! sockets_are in_lane "$1" || return 0
	done
	fail "not $1 sockets in the lane: $(direct_status .sockets)"
}

# Leaves 20000 bytes unread in the direct queue of each server. A message that meets the scan at its receiver's
# socket goes by TCP: once more, then.
send_direct() { # PAIRS
	local before end=$((SECONDS + 60))
	while ((SECONDS < end)); do
		before=$(direct_status .bytes.direct)
		ends send 20000
		(($(direct_status .bytes.direct) - before < $1 * 20000)) || return 0
		ends drain
		assert_equal 0 "$ANSWER" "bytes that are missing"
		talk_into_lane $((2 * $1))
	done
	fail "not all that is sent goes direct: $(direct_status .connections)"
}

# ---- twins: connections with the same addresses and ports in two network namespaces ----

TWINS=("sidelane-$$-a" "sidelane-$$-b")
drop_twins() {
	local status=$? name
	set +e # the status must reach the next one
	for name in "${TWINS[@]}"; do
		ip netns delete "$name" 2>/dev/null || true
	done
	(exit "$status")
	end_direct
}

# The ends of 4 connections from port 7100 on in each; all bytes differ. They talk until `end_twins`.
add_twins() {
	local name
	trap drop_twins EXIT
	for name in "${TWINS[@]}"; do
		ip netns add "$name"
		ip -n "$name" link set lo up
	done
	cat >"$TMP/words" <<-END
		#!/bin/bash
		until [[ -e $TMP/go ]]; do
		    echo talk 30 1
		    sleep 0.03
		done
		printf '%s\n' 'talk 500' 'send 300000' 'drain' 'talk 50' 'half 100000'
	END
	chmod +x "$TMP/words"
}

start_twin() { # 0|1 BACKEND ARGS...
	spawn "ends-$1" "${INSIDE[@]}" ip netns exec "${TWINS[$1]}" bash -c \
		"'$TMP/words' | exec '$HERE/ends.py' 127.0.0.1 $2 4 --client-port 7100 --seed $(($1 + 1)) ${*:3}"
	TWIN_PIDS[$1]=$SPAWNED_PID
}

# At least so many bytes go direct in each from now on.
# shellcheck disable=SC2034 # used by the tests
TWIN_DIRECT=$((4 * 2 * 500 * 64))
end_twins() {
	local i status
	touch "$TMP/go"
	for i in 0 1; do
		status=0
		wait "${TWIN_PIDS[i]}" || status=$?
		forget "${TWIN_PIDS[i]}"
		((status == 0)) || fail "namespace $i: $(cat "$TMP/ends-$i.log")"
		grep -q '^half' "$TMP/ends-$i.log" || fail "namespace $i: $(cat "$TMP/ends-$i.log")"
		grep -q '^drain 0$' "$TMP/ends-$i.log" || fail "namespace $i: bytes are missing"
	done
}
