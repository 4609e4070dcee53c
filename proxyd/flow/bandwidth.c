// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/bandwidth.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#define NS_A_US 1000ULL
#define NS_A_S  1000000000ULL

/* The worker that comes for a turn comes on a tick, and so for all that are due by then. */
#define TICK_US 1000

/* A turn is asked for again after this long at the latest: the rate may have changed. */
#define PATIENCE_US 1000000

/*
 * Nobody's bandwidth is kept for this long: what a worker that came late to a turn makes up for,
 * and what may pass at once after a pause.
 */
#define KEPT_NS (20 * 1000 * (int64_t)NS_A_US)

/*
 * A turn is as long as a tick: a shorter one would leave time that goes to whoever comes first. A
 * thousand flows that always want more let a newcomer wait for a second.
 */
#define TURN_MS  1
#define TURN_MIN (4 * 1024)

/* Of a turn at once: the relay's buffer. */
#define PIECE_MAX (64 * 1024)

struct bandwidth {
	atomic_uint references;
	_Atomic uint64_t rate;
	_Atomic int64_t free_at[2]; /* ns: the end of the last turn that was given */
};

struct turn {
	uint64_t at_us; /* 0: none */
	uint64_t rate;  /* that it was given at */
	uint64_t paid;  /* bytes */
	uint64_t used;  /* bytes */
};

struct share {
	struct bandwidth *bandwidth;
	struct turn turns[2];
};

int bandwidth_pace(int fd, uint64_t rate)
{
	if (!rate)
		return 0;
	return setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate)) ? -errno : 0;
}

/* --- The queue --------------------------------------------------------------------------- */

int bandwidth_new(uint64_t rate, struct bandwidth **out)
{
	struct bandwidth *bandwidth = calloc(1, sizeof(*bandwidth));

	if (!bandwidth)
		return -ENOMEM;
	atomic_init(&bandwidth->references, 1);
	atomic_init(&bandwidth->rate, rate);
	*out = bandwidth;
	return 0;
}

void bandwidth_set_rate(struct bandwidth *bandwidth, uint64_t rate)
{
	if (atomic_exchange(&bandwidth->rate, rate) == rate)
		return;
	/* Who stands in the queue asks again and is given a turn at the new rate. */
	atomic_store(&bandwidth->free_at[0], 0);
	atomic_store(&bandwidth->free_at[1], 0);
}

uint64_t bandwidth_rate(const struct bandwidth *bandwidth)
{
	return atomic_load_explicit(&bandwidth->rate, memory_order_relaxed);
}

struct bandwidth *bandwidth_ref(struct bandwidth *bandwidth)
{
	atomic_fetch_add_explicit(&bandwidth->references, 1, memory_order_relaxed);
	return bandwidth;
}

void bandwidth_unref(struct bandwidth *bandwidth)
{
	if (bandwidth &&
	    atomic_fetch_sub_explicit(&bandwidth->references, 1, memory_order_acq_rel) == 1)
		free(bandwidth);
}

static uint64_t longest_turn(uint64_t rate)
{
	uint64_t bytes = rate * TURN_MS / 1000;

	return bytes < TURN_MIN ? TURN_MIN : bytes;
}

static int64_t price(uint64_t bytes, uint64_t rate)
{
	return (int64_t)(bytes * NS_A_S / rate);
}

/* Returns the beginning of a turn at the end of the queue. */
static int64_t enqueue(_Atomic int64_t *free_at, int64_t length, int64_t now)
{
	int64_t end = atomic_load(free_at), start;

	do
		start = end > now - KEPT_NS ? end : now - KEPT_NS;
	while (!atomic_compare_exchange_weak(free_at, &end, start + length));
	return start;
}

/* --- Shares ------------------------------------------------------------------------------ */

int share_new(struct bandwidth *bandwidth, struct share **out)
{
	struct share *share = calloc(1, sizeof(*share));

	if (!share)
		return -ENOMEM;
	share->bandwidth = bandwidth_ref(bandwidth);
	*out = share;
	return 0;
}

/*
 * What was paid too much or too little is put right by moving the end of the queue, unless a new
 * queue was begun since.
 */
static void end_turn(struct share *share, int direction)
{
	struct turn *turn = &share->turns[direction];

	if (turn->at_us && turn->rate == bandwidth_rate(share->bandwidth))
		atomic_fetch_add(&share->bandwidth->free_at[direction],
				 price(turn->used, turn->rate) - price(turn->paid, turn->rate));
	*turn = (struct turn){0};
}

void share_free(struct share *share)
{
	if (!share)
		return;
	end_turn(share, 0);
	end_turn(share, 1);
	bandwidth_unref(share->bandwidth);
	free(share);
}

/* What waits is paid in advance, so that as many as come at once do not all take the same turn. */
static void begin_turn(struct share *share, int direction, uint64_t rate, uint64_t unread,
		       uint64_t now_us)
{
	struct turn *turn = &share->turns[direction];
	uint64_t longest = longest_turn(rate);
	int64_t start;

	turn->rate = rate;
	turn->paid = unread < longest ? unread : longest;
	if (!turn->paid)
		turn->paid = 1;
	start = enqueue(&share->bandwidth->free_at[direction], price(turn->paid, rate),
			(int64_t)(now_us * NS_A_US));
	start /= (int64_t)NS_A_US;
	turn->at_us = start <= (int64_t)now_us ? now_us : ((uint64_t)start / TICK_US + 1) * TICK_US;
}

uint32_t share_ask(struct share *share, int direction, uint32_t unread, uint64_t now_us,
		   uint64_t *at_us)
{
	const struct turn *turn = &share->turns[direction];
	uint64_t rate = bandwidth_rate(share->bandwidth);
	uint64_t left;

	if (!rate)
		return PIECE_MAX;
	if (turn->at_us && turn->rate != rate)
		end_turn(share, direction);
	if (!turn->at_us)
		begin_turn(share, direction, rate, unread, now_us);
	if (turn->at_us > now_us) {
		*at_us = turn->at_us < now_us + PATIENCE_US ? turn->at_us : now_us + PATIENCE_US;
		return 0;
	}
	left = longest_turn(rate) - turn->used;
	return left < PIECE_MAX ? (uint32_t)left : PIECE_MAX;
}

void share_took(struct share *share, int direction, uint32_t bytes, bool more)
{
	struct turn *turn = &share->turns[direction];

	turn->used += bytes;
	if (!more || turn->used >= longest_turn(turn->rate))
		end_turn(share, direction);
}
