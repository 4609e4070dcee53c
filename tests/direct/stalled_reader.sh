#!/bin/bash
# Readers that do not read: the direct queue holds no more than its window, TCP's flow control holds the
# sender as ever, the kernel's memory for TCP is far from its limit, and every byte arrives in the end.
#
#   PAIRS  connections at once (default 200)
. "$(dirname "$0")/lib.sh"
PAIRS=${PAIRS:-200}
((QUICK == 0)) || PAIRS=40
WINDOW=65536
MESSAGES=128

tcp_pages() { sed -nE 's/^TCP:.* mem ([0-9]+)$/\1/p' /proc/net/sockstat; }

begin_direct
free_port BACKEND
# Buffers that do not grow, so that both floods meet the same ones.
start_ends 127.0.0.1 "$BACKEND" "$PAIRS" --buffer 200000
ends flood
PLAIN=$ANSWER
ends drain
assert_equal 0 "$ANSWER" "bytes that are missing, without the lane"
start_accelerate --interval 20ms --program "$PYTHON" --existing
talk_into_lane $((2 * PAIRS))
BEFORE=$(direct_status .bytes.direct)
ends flood
LANE=$ANSWER
DIRECT=$(($(direct_status .bytes.direct) - BEFORE))
PAGES=$(tcp_pages)
read -r _ PRESSURE LIMIT <<<"$TCP_MEM"
say "$PAIRS senders blocked after $LANE bytes at most, $PLAIN without the lane;" \
	"$((DIRECT / PAIRS)) of them direct; TCP has $PAGES of $LIMIT pages"
assert_number "$DIRECT" -le $((PAIRS * WINDOW)) "direct bytes that nobody has read"
# A message that meets the scan is followed by all others by TCP, as nobody reads.
assert_number "$DIRECT" -gt 0 "direct bytes that nobody has read"
assert_number "$LANE" -le $((PLAIN + PLAIN / 4 + 2 * WINDOW)) "bytes until a sender blocks"
assert_number "$PAGES" -lt "$PRESSURE" "pages of TCP"
ends drain
assert_equal 0 "$ANSWER" "bytes that are missing"

# A message takes memory however short it is.
talk_into_lane $((2 * PAIRS))
BEFORE=$(direct_status .messages.direct)
ends drip 1000
MANY=$(($(direct_status .messages.direct) - BEFORE))
say "of 1000 messages of one byte each sender had $((MANY / PAIRS)) direct"
assert_number "$MANY" -le $((PAIRS * MESSAGES)) "direct messages that nobody has read"
assert_number "$MANY" -gt 0 "direct messages that nobody has read"
ends drain
assert_equal 0 "$ANSWER" "bytes that are missing"
talk_into_lane $((2 * PAIRS))
ends half 100000
end "$ENDS_PID"
stop_accelerate
