// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/traffic.h"

/*
 * Enrolling a flow, and closing it then, costs about as much as the kernel lane saves on a dozen
 * round trips (docs/kernel.md). A flow that has shown as many has, whenever it ends, paid no
 * more than twice what the better choice would have cost (the ski rental argument).
 */
#define DIALOGUE_TURNS 24

/* A direction that sends this often in a row, or this much, is not taking turns. */
#define RUN_READS_MAX 8
#define RUN_BYTES_MAX (64 * 1024)

/*
 * Segments a turn that are worth a redirect each: measured with messages of 64 B a write, the
 * kernel lane had 0.9 of the relay's round trip at two writes a turn, 1.3 at four, 1.8 at
 * seventeen.
 */
#define TURN_SEGMENTS 2

/*
 * Events that a worker takes from the kernel at once, on average of its latest turns. One wake-up
 * then serves many messages, while in the kernel lane each of them wakes a kernel thread
 * (sk_psock_backlog, 6.18), in the midst of a peer that is about to send more. On one core, in
 * requests a second of HAProxy's: event loops at both ends (wrk and nginx, 16 connections;
 * redis-benchmark with 50) relay 1.04, kernel lane 0.87; peers with a thread for each of 16
 * connections, which sleep after each message, seldom make a crowd, and had 1.2 in the kernel lane.
 * With four events instead of two a copier in Go behind it had 0.91, with two 0.97.
 */
#define CROWD_EVENTS       2U
#define CROWD_TURNS        16U
#define CROWD_SHIFT        8 /* of the average: binary places behind the point */

#define FIRST_WAIT_MS      1000
#define WAIT_DOUBLINGS_MAX 8

bool traffic_saw(struct traffic *traffic, int direction, uint32_t bytes)
{
	if (traffic->direction != direction) {
		traffic->direction = (uint8_t)direction;
		traffic->run = 0;
		traffic->reads = 0;
		if (traffic->turns < UINT16_MAX)
			traffic->turns++;
	}
	if (traffic->reads < UINT8_MAX)
		traffic->reads++;
	if (traffic->run <= RUN_BYTES_MAX)
		traffic->run += bytes;
	if (traffic_streams(traffic))
		traffic->turns = 0;
	return traffic->turns >= DIALOGUE_TURNS;
}

bool traffic_half_way(const struct traffic *traffic)
{
	return traffic->turns == DIALOGUE_TURNS / 2 && traffic->reads == 1;
}

bool traffic_bursts(const struct traffic *traffic, const struct traffic_count *now,
		    uint32_t segment)
{
	uint64_t full = segment ? (now->bytes - traffic->half_way.bytes) / segment : 0;
	uint32_t turns = traffic->turns - DIALOGUE_TURNS / 2U;

	return now->segments - traffic->half_way.segments > full + TURN_SEGMENTS * turns;
}

void traffic_turn(uint32_t *crowd, unsigned int events)
{
	*crowd += (events << CROWD_SHIFT) / CROWD_TURNS - *crowd / CROWD_TURNS;
}

bool traffic_is_crowded(uint32_t crowd)
{
	return crowd >= CROWD_EVENTS << CROWD_SHIFT;
}

bool traffic_streams(const struct traffic *traffic)
{
	return traffic->reads > RUN_READS_MAX || traffic->run > RUN_BYTES_MAX;
}

void traffic_retreat(struct traffic *traffic, uint64_t now)
{
	uint8_t doublings = traffic->retreats;

	traffic->not_before = now + ((uint64_t)FIRST_WAIT_MS << doublings);
	traffic->turns = 0;
	if (traffic->retreats < WAIT_DOUBLINGS_MAX)
		traffic->retreats++;
}

bool traffic_may_advance(const struct traffic *traffic, uint64_t now)
{
	return now >= traffic->not_before;
}
