// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "flow/gather.h"

#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "flow/flow.h"
#include "flow/worker.h"
#include "socket_options.h"

/* The stream is looked at each time that so many bytes were read. */
#define SAMPLE_BYTES (1024 * 1024)

/* Small and fast: segments of fewer bytes than that on average, so many of them a millisecond. */
#define SMALL_SEGMENT   (16 * 1024)
#define SEGMENTS_PER_MS 100

/* The round trip of a sender on this host or beside it. From farther away, a wait costs a window.
 */
#define NEAR_US 500

/*
 * What a receive buffer is to weigh. The kernel calls it full at seven eighths (tcp_rmem_pressure,
 * 6.18), and the last eighth has to hold a loopback segment of 64 KiB: the sender keeps one that
 * does not fit, and neither side would move.
 */
#define BUFFER (1024 * 1024)

/* How long a byte may wait in it, and over which time the stream has to prove that it is fast. */
#define WAIT_US   200
#define PERIOD_US 10000

/* Bytes until gathering is given up, or tried again: the sender may do something else by now. */
#define LOOK_AGAIN    (64 * 1024 * 1024)
#define DOUBLINGS_MAX 8

bool gather_pays(const struct gather_sample *sample)
{
	return sample->round_trip_us <= NEAR_US &&
	       sample->bytes < (uint64_t)sample->segments * SMALL_SEGMENT &&
	       sample->us * SEGMENTS_PER_MS <= (uint64_t)sample->segments * 1000;
}

/* For tests, which meet no such streams on a busy machine: the lane switching knob throws a coin.
 */
static bool random_wanted(const struct flow *flow)
{
	return flow->worker->proxy->settings->switch_lanes;
}

/*
 * SO_RCVBUF locks the size, and a locked buffer cannot stretch when the bytes that were invited
 * weigh more than foreseen (tcp_clamp_window, 6.18): TCP drops them and the sender tries again by
 * its timer, each time twice as late. So the lock is taken off again (SO_BUF_LOCK, 5.14). While it
 * is on, SO_RCVLOWAT takes any value up to half the size and leaves the size alone
 * (tcp_set_rcvlowat).
 */
static bool size_buffer(int fd)
{
	const int least = BUFFER;
	uint32_t memory[SK_MEMINFO_VARS] = {0};
	socklen_t length = sizeof(int);
	int locks;

	/* A size that was configured stays; and what is invited must find room while it is locked.
	 */
	if (getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &length) || locks & SOCK_RCVBUF_LOCK)
		return false;
	length = sizeof(memory);
	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &length) ||
	    memory[SK_MEMINFO_RMEM_ALLOC] > BUFFER)
		return false;
	socket_options_set_receive_buffer(fd, 2UL * BUFFER);
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof(least));
	socket_options_set_receive_buffer(fd, BUFFER);
	return !setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, sizeof(locks));
}

static void measure_from(struct direction *direction, uint64_t now_us)
{
	direction->gather.since = direction->read;
	direction->gather.since_us = now_us;
}

void gather_end(struct flow *flow, int d)
{
	struct direction *direction = &flow->directions[d];
	const int any = 1;

	if (!direction->gather.on)
		return;
	direction->gather.on = false;
	measure_from(direction, 0);
	if (flow->fds[d] >= 0)
		setsockopt(flow->fds[d], SOL_SOCKET, SO_RCVLOWAT, &any, sizeof(any));
}

/* `pace`: bytes a PERIOD_US. */
static void begin(struct flow *flow, int d, uint64_t pace, uint64_t now_us)
{
	struct direction *direction = &flow->directions[d];
	struct gather *gather = &direction->gather;

	gather->on = true;
	if (!size_buffer(flow->fds[d])) {
		gather_end(flow, d);
		return;
	}
	gather->enough = (uint32_t)(pace / 2 < UINT32_MAX ? pace / 2 : UINT32_MAX);
	measure_from(direction, now_us);
	stats_add(&flow->worker->stats.gathers, 1);
}

static void look(struct flow *flow, int d, uint64_t now_us)
{
	struct direction *direction = &flow->directions[d];
	struct gather *gather = &direction->gather;
	struct gather_sample sample;
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);

	if (getsockopt(flow->fds[d], IPPROTO_TCP, TCP_INFO, &info, &size))
		return;
	sample = (struct gather_sample){
		.bytes = direction->read - gather->since,
		.us = now_us - gather->since_us,
		.segments = info.tcpi_data_segs_in - gather->segments,
		.round_trip_us = info.tcpi_min_rtt,
	};
	if (random_wanted(flow)
		    ? worker_random(flow->worker) & 1
		    : gather->since_us && gather_pays(&sample) && traffic_streams(&flow->traffic))
		begin(flow, d, sample.bytes * PERIOD_US / (sample.us + 1), now_us);
	else
		measure_from(direction, now_us);
	gather->segments = info.tcpi_data_segs_in;
}

/* Bytes until the next look. */
static uint64_t span(struct flow *flow, struct gather *gather)
{
	if (random_wanted(flow))
		return worker_random(flow->worker) % SAMPLE_BYTES;
	if (!gather->on)
		return SAMPLE_BYTES;
	if (gather->doublings < DOUBLINGS_MAX)
		gather->doublings++;
	return (uint64_t)LOOK_AGAIN << (gather->doublings - 1);
}

ssize_t gather_turn(const struct flow *flow, int d, ssize_t most)
{
	const struct gather *gather = &flow->directions[d].gather;

	return gather->on && worker_now_us() < gather->due_us ? BUFFER / 2 : most;
}

/* Whether the stream is as fast as it was. A buffer that TCP let grow would take too long to fill.
 */
static bool keeps_up(struct flow *flow, int d, uint64_t now_us)
{
	struct direction *direction = &flow->directions[d];
	struct gather *gather = &direction->gather;
	socklen_t length = sizeof(int);
	int size;

	if (now_us - gather->since_us < PERIOD_US)
		return true;
	if (direction->read - gather->since < gather->enough)
		return false;
	measure_from(direction, now_us);
	if (!getsockopt(flow->fds[d], SOL_SOCKET, SO_RCVBUF, &size, &length) &&
	    size > 3 * BUFFER / 2)
		size_buffer(flow->fds[d]);
	return true;
}

static bool may_gather(const struct flow *flow, int d)
{
	return flow->state == FLOW_OPEN && flow->directions[d].state == DIRECTION_OPEN &&
	       flow->directions[d].lane == SL_LANE_RELAY && !flow->share && !flow_enrolled(flow);
}

/* Begins or ends gathering. */
static void decide(struct flow *flow, int d, uint64_t now_us)
{
	struct direction *direction = &flow->directions[d];
	struct gather *gather = &direction->gather;

	if (direction->read < gather->look_at) {
		if (gather->on && !keeps_up(flow, d, now_us))
			gather_end(flow, d);
		return;
	}
	if (gather->on)
		gather_end(flow, d);
	else if (gather->look_at)
		look(flow, d, now_us);
	gather->look_at = direction->read + span(flow, gather);
}

void gather_rest(struct flow *flow, int d)
{
	struct direction *direction = &flow->directions[d];
	struct gather *gather = &direction->gather;
	bool was_on = gather->on;
	uint64_t now_us;

	if (flow->state == FLOW_CLOSED || (!was_on && direction->read < gather->look_at))
		return;
	now_us = worker_now_us();
	if (may_gather(flow, d))
		decide(flow, d, now_us);
	else
		gather_end(flow, d);
	gather->due_us = now_us + WAIT_US;
	if (gather->on)
		worker_poll_at(flow, gather->due_us);
	else if (was_on)
		worker_poll_soon(flow); /* what came meanwhile made no edge */
}
