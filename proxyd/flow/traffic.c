// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/traffic.h"

/*
 * Enrolling a flow costs about as much as two dozen relayed messages (docs/kernel.md), so it
 * must have shown about that many turns: it has then paid no more than twice what the better
 * choice would have cost, had it ended there (the ski rental argument).
 */
#define DIALOGUE_TURNS 24

/* A direction that sends this often in a row is not taking turns. */
#define RUN_READS_MAX 8

/* Likewise for a stream: by then the move is a small part of what it has cost. */
#define BULK_BYTES (1024 * 1024)

/* Segments of this size are cheaper to redirect than to copy, whatever the maximum. */
#define LARGE_SEGMENT      (16 * 1024)

#define FIRST_WAIT_MS      1000
#define WAIT_DOUBLINGS_MAX 8

enum traffic_kind traffic_saw(struct traffic *traffic, int direction, uint32_t bytes)
{
	if (traffic->direction != direction) {
		traffic->direction = (uint8_t)direction;
		traffic->run = 0;
		traffic->reads = 0;
		if (traffic->turns < UINT16_MAX)
			traffic->turns++;
	}
	traffic->run += bytes;
	if (traffic->reads < UINT8_MAX)
		traffic->reads++;
	if (traffic->reads > RUN_READS_MAX)
		traffic->turns = 0;
	if (traffic->run >= BULK_BYTES) {
		traffic->run = 0; /* ask again after as much */
		return TRAFFIC_BULK;
	}
	return traffic->turns >= DIALOGUE_TURNS ? TRAFFIC_DIALOGUE : TRAFFIC_UNKNOWN;
}

void traffic_left_kernel(struct traffic *traffic, uint64_t now)
{
	unsigned int doublings =
		traffic->moves < WAIT_DOUBLINGS_MAX ? traffic->moves : WAIT_DOUBLINGS_MAX;

	traffic->not_before = now + ((uint64_t)FIRST_WAIT_MS << doublings);
	traffic->turns = 0;
	traffic->run = 0;
	if (traffic->moves < UINT8_MAX)
		traffic->moves++;
}

bool traffic_may_move(const struct traffic *traffic, uint64_t now)
{
	return now >= traffic->not_before;
}

bool traffic_large_writes(uint32_t segment, uint32_t maximum)
{
	return segment >= LARGE_SEGMENT || segment >= maximum / 8 * 7;
}
