#!/bin/bash
# Readers that do not read: the senders must block, and what the kernel then holds for a flow must stay
# under the window and the flow's four socket buffers. Then the readers read, and every byte is there. Also
# with ends that both send and do not read, whose windows are tiny: neither direction may stop the other.
#
# In a network namespace of its own, for its own limits of TCP's buffers: 200 flows that fill the default
# ones can meet the whole machine's limit (net.ipv4.tcp_mem), which slows everybody down.
#
#   stalled_reader.sh kernel|relay|auto
#   stalled_reader.sh unbounded     shows that the test can fail: a proxy without back-pressure
if [[ ${1-} != unbounded && -z ${TCP_PAGES-} && $EUID == 0 ]]; then
	read -r _ _ TCP_PAGES </proc/sys/net/ipv4/tcp_mem # not to be seen in there
	export TCP_PAGES
	# shellcheck disable=SC2016 # expanded by the inner shell
	exec unshare --net bash -c 'ip link set lo up && exec "$0" "$@"' "$0" "$@"
fi
. "$(dirname "$0")/../lib.sh"
[[ ${1-} == unbounded ]] || need_root # for that namespace
PROGRAM=$BUILD/tests/programs/stall
[[ -x $PROGRAM ]] || fail "$PROGRAM is not there: build it first"
[[ ${1-} == unbounded ]] || take_lane "$@"

MIB=$((1 << 20))
NOISE=$((48 * MIB))         # what the rest of the machine may take meanwhile
FLOW_OVERHEAD=$((24 << 10)) # sockets, files and state of a flow: four sockets alone are 10 KiB
MANY=200
((QUICK == 0)) || MANY=20

memory_available() { awk '$1 == "MemAvailable:" { printf "%.0f", $2 * 1024 }' /proc/meminfo; }

# All that is neither free nor a program's nor a file's: skbs, their data, the sockets. Unlike
# MemAvailable it does not move when another program takes memory.
kernel_memory() {
	awk '{ kib[$1] = $2 }
		END { printf "%.0f", 1024 * (kib["MemTotal:"] - kib["MemFree:"] - kib["Active:"] \
			- kib["Inactive:"] - kib["Unevictable:"] - kib["SReclaimable:"] \
			- kib["KernelStack:"] - kib["PageTables:"]) }' /proc/meminfo
}

slab() { awk '$1 == "Slab:" { printf "%.0f", $2 * 1024 }' /proc/meminfo; }
tcp_memory() { awk '$1 == "TCP:" { printf "%.0f", $NF * 4096 }' /proc/net/sockstat; }

# The sizes that the kernel has given to the four buffers on the payload's way: of all flows
# together, and the most that they can be for one.
socket_buffers() { # up|down|both
	local towards=dport from=sport
	if [[ $1 == both ]]; then
		{ socket_buffers up && socket_buffers down; } |
			awk '{ sum += $1; if ($2 > max) max = $2 } END { printf "%.0f %.0f\n", sum, max }'
		return
	fi
	[[ $1 == up ]] || { towards=sport from=dport; }
	{
		buffers tb "$towards = :$FRONT"
		buffers rb "$from = :$FRONT"
		buffers tb "$towards = :$BACK"
		buffers rb "$from = :$BACK"
	} | awk '{ sum += $1; max += $2 } END { printf "%.0f %.0f\n", sum, max }'
}

buffers() { # rb|tb FILTER
	ss -Htmn state established "$2" | grep -oE "[(,]$1[0-9]+" | tr -dc '0-9\n' |
		awk '{ sum += $1; if ($1 > max) max = $1 } END { printf "%.0f %.0f\n", sum, max }'
}

start_stall() { # OPTIONS...
	coproc STALL { exec "$PROGRAM" --front "127.0.0.1:$FRONT" --back "$BACK" "$@" 2>"$TMP/stall.log"; }
	# bash forgets a coprocess's variables when it ends.
	STALL_IN=${STALL[1]} STALL_OUT=${STALL[0]} STALL_CHILD=$!
	SPAWNED+=("$STALL_CHILD stall")
	hear connected 30
}

# Sets HEARD to what follows WORD.
hear() { # WORD SECONDS
	local word='' rest=''
	read -r -t "$2" word rest <&"$STALL_OUT" || true
	HEARD=$rest
	[[ $word == "$1" ]]
}

# Fails, with a reason in REASON, if more is held than may be.
check_held() { # DIRECTION FLOWS WINDOW
	local buffers largest limit held sent most before before_available before_slab before_tcp ways=1
	before_available=$(memory_available) before_slab=$(slab) before_tcp=$(tcp_memory)
	before=$(kernel_memory)
	echo go >&"$STALL_IN"
	hear blocked 120 || {
		REASON="the senders never blocked"
		return 1
	}
	read -r sent most <<<"$HEARD"
	held=$(($(kernel_memory) - before))
	read -r buffers largest < <(socket_buffers "$1")
	[[ $1 != both ]] || ways=2
	limit=$((ways * $2 * $3 + buffers))
	say "$2 flows: accepted $(mib "$sent") (most of one stream: $(mib "$most"))," \
		"limit $(mib "$limit"), of that socket buffers $(mib "$buffers")"
	say "$2 flows: kernel memory +$(mib "$held"), of that slab $(mib $(($(slab) - before_slab)))," \
		"charged to TCP $(mib $(($(tcp_memory) - before_tcp)));" \
		"MemAvailable -$(mib $((before_available - $(memory_available))))"
	((sent <= limit)) || REASON="$sent bytes accepted, more than $limit"
	((most <= $3 + largest)) || REASON="$most bytes accepted of one stream, more than $3 + $largest"
	[[ -z $REASON ]] || return 1
	# Of a few flows it is lost in the noise: there the count of bytes must do.
	(($2 < 20 || held <= limit + $2 * FLOW_OVERHEAD + NOISE)) && return
	REASON="$held bytes of kernel memory held, limit $limit"
	BUSY=1 # a figure of the whole machine's
	return 1
}

mib() { awk -v bytes="$1" 'BEGIN { printf "%.2f MiB", bytes / 1048576 }'; }

check_verified() {
	echo read >&"$STALL_IN"
	hear verified 120 || fail "not every byte arrived after the stall"
	wait "$STALL_CHILD" || fail "stall exits with $?"
	forget "$STALL_CHILD"
}

stalled() { # up|down|both FLOWS WINDOW STALL-OPTIONS...
	local direction=$1 flows=$2 window=$3 options=(--flows "$2") attempt
	shift 3
	[[ $direction == up ]] || options+=("--$direction")
	say "-- $direction, window $(mib "$window") $*"
	for attempt in 1 2 3; do
		start_stall "${options[@]}" "$@" || fail "stall does not connect"
		REASON='' BUSY=0
		check_held "$direction" "$flows" "$window" || ((BUSY && attempt < 3)) || fail "$REASON"
		check_verified
		[[ -n $REASON ]] || return 0
		say "again, as the machine may be busy with something else: $REASON"
	done
}

# What TCP may make of a socket's buffers by itself.
autotuning_up_to() { # BYTES
	sysctl -qw "net.ipv4.tcp_rmem=4096 131072 $1" "net.ipv4.tcp_wmem=4096 16384 $1"
}

# So many flows as a quarter of the memory, and what TCP as a whole may take, have room for.
affordable() { # WINDOW
	local room flows
	room=$(($(memory_available) / 4))
	((room < TCP_PAGES * 4096)) || room=$((TCP_PAGES * 4096))
	flows=$((room / (2 * $1 + 3 * MIB)))
	echo $((flows < MANY ? flows : MANY))
}

test_window() { # tiny-writes-too|large-only BYTES PROXYD-OPTIONS...
	local writes=$1 window=$2 flows
	shift 2
	flows=$(affordable "$window")
	start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACK" --lane "$LANE" "$@"
	autotuning_up_to $((6 * MIB))
	stalled up 1 "$window"
	stalled down 1 "$window"
	autotuning_up_to "$MIB"
	stalled up "$flows" "$window"
	if [[ $writes == tiny-writes-too ]]; then
		# Where an skb's own size dwarfs its payload.
		stalled up 20 "$window" --buffers 65536 --write 64
		stalled down 5 "$window" --buffers 65536 --write 64
		# Tiny windows make TCP cut small skbs, which weigh more than what they were made of.
		stalled both 5 "$window"
		stalled both 10 "$window" --receive-buffer 2304
	fi
	assert_no_active_flows
	stop_proxyd
}

# A proxy as the naive splice is: it takes what comes, without regard to the reader.
test_unbounded() {
	spawn unbounded python3 "$ROOT/tests/programs/unbounded_proxy.py" "$FRONT" "$BACK"
	wait_listening "$FRONT" "the unbounded proxy"
	start_stall --flows 1 || fail "stall does not connect"
	REASON=''
	! check_held up 1 $((4 * MIB)) || fail "an unbounded proxy was not noticed"
	say "noticed, as it should be: $REASON"
}

free_port FRONT
free_port BACK
if [[ $1 == unbounded ]]; then
	test_unbounded
else
	test_window tiny-writes-too "$MIB" --window 1MiB
	((QUICK)) || test_window large-only $((4 * MIB)) # the default
fi
