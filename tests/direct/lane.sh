#!/bin/bash
# A dialogue enters the lane by itself; what cannot be accelerated stays out, each for its reason;
# every byte arrives, whatever way it goes.
. "$(dirname "$0")/lib.sh"

need nft
begin_direct
free_port BACKEND
start_accelerate --interval 20ms --program "$PYTHON"

direct_bytes() { direct_status .bytes.direct; }

# ---- a dialogue, IPv4 and IPv6 ----
for host in 127.0.0.1 ::1; do
	start_ends "$host" "$BACKEND" 5
	ends talk 5
	assert_equal 0 "$(sockets in_lane)" "sockets in the lane after five turns"
	talk_into_lane 10
	before=$(direct_bytes)
	ends talk 100
	assert_most $((5 * 2 * 100 * 64)) $(($(direct_bytes) - before)) "bytes that went direct, $host"
	# More than the window: the rest goes by TCP, behind it.
	ends send 300000
	ends drain
	assert_equal 0 "$ANSWER" "bytes that are missing after 300000 at once"
	ends talk 100
	ends half 200000
	end "$ENDS_PID"
done
say "dialogues of 5 connections over IPv4 and IPv6: all direct"

# ---- who changes his mind leaves ----
reasons=(lowat:rcvlowat timestamp:timestamps oobinline:urgent zerocopy:zerocopy blocking:blocking)
for pair in "${reasons[@]}"; do
	start_ends 127.0.0.1 "$BACKEND" 1
	talk_into_lane 2
	before=$(direct_bytes)
	ends set "${pair%:*}"
	ends send 1000 # most likely before the next scan
	ends drain
	assert_equal 0 "$ANSWER" "bytes that are missing, ${pair#*:}"
	assert_equal "$before" "$(direct_bytes)" "bytes that went direct, ${pair#*:}"
	wait_sockets "${pair#*:}" 1
	wait_sockets in_lane 0
	[[ ${pair%:*} != blocking ]] || ends set nonblocking
	[[ ${pair%:*} == lowat ]] || ends talk 50
	end "$ENDS_PID"
done
say "left the lane, each for its reason, and at once: ${reasons[*]#*:}"
stop_accelerate

# ---- who stays out ----
left_out() { # REASON SOCKETS ARGS...
	start_accelerate --interval 20ms "${@:3}"
	start_ends 127.0.0.1 "$BACKEND" 1 "${ENDS_ARGS[@]}"
	ends talk 60 4
	wait_sockets "$1" "$2"
	assert_equal 0 "$(direct_bytes)" "direct bytes of those left out: $1"
	end "$ENDS_PID"
	stop_accelerate
}

ENDS_ARGS=()
left_out program 2
left_out filtered 2 --any-program --exclude-port "$BACKEND"
left_out filtered 2 --any-program --cidr 10.0.0.0/8 --cidr ::1
left_out filtered 2 --any-program --exclude-uid 0
# Names of programs count in whole.
long=a-talker-whose-name-has-more-letters-than-31
cp "$(python3 -c 'import sys; print(sys.executable)')" "$TMP/$long-1"
# shellcheck disable=SC2034 # used by start_ends
TALKER=("$TMP/$long-1" "$HERE/ends.py")
left_out program 2 --program "$long-2"
TALKER=()
ENDS_ARGS=(--blocking)
left_out blocking 2 --any-program
say "left out: unknown programs, what filters say, blocking sockets"

# ---- translated addresses ----
free_port FRONT
nft -f - <<-END
	table ip translate {
	    chain output {
	        type nat hook output priority -100
	        ip daddr 127.0.0.1 tcp dport $FRONT redirect to :$BACKEND
	    }
	}
END
ENDS_ARGS=(--front "$FRONT")
left_out translated 2 --program "$PYTHON"
start_accelerate --interval 20ms --program "$PYTHON" --translated
start_ends 127.0.0.1 "$BACKEND" 1 "${ENDS_ARGS[@]}"
talk_into_lane 2
ends talk 50
end "$ENDS_PID"
stop_accelerate
nft delete table ip translate
say "left out: translated addresses, unless they are asked for"

# ---- whom all filters take ----
start_accelerate --interval 20ms --program "$PYTHON" --port "$BACKEND" --cidr 127.0.0.0/8 --uid 0 \
	--exclude-port 1 --exclude-cidr 10.0.0.0/8 --exclude-uid 1
start_ends 127.0.0.1 "$BACKEND" 1
talk_into_lane 2
end "$ENDS_PID"
stop_accelerate

# ---- connections that were there before ----
start_ends 127.0.0.1 "$BACKEND" 3
ends talk 60
start_accelerate --interval 20ms --program "$PYTHON"
ends talk 60 2
wait_sockets existing 6
stop_accelerate
# Again, if the machine was too busy to look at them while they talked.
would_be_in_lane() { # SOCKETS
	accelerate --dry-run --program "$PYTHON" --duration 1s --interval 20ms --json >"$TMP/dry.json" &
	local dry=$!
	while alive "$dry"; do
		ends talk 30 1
	done
	wait "$dry" || fail "the dry run fails"
	[[ $(jq .sockets.in_lane "$TMP/dry.json") == "$1" ]]
}
wait_until 60 would_be_in_lane 6 || fail "not 6 sockets that would be in the lane: $(cat "$TMP/dry.json")"
assert_nothing_pinned
start_accelerate --interval 20ms --program "$PYTHON" --existing
talk_into_lane 6
ends talk 100
# Acceleration ends while the connections live.
stop_accelerate
ends talk 100
ends half 100000
end "$ENDS_PID"
say "live connections entered the lane and left it"
