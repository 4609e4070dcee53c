/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_BUDGET_H
#define SIDELANE_BUDGET_H

/*
 * How much kernel memory a direction holds between the verdict and the destination's peer.
 *
 * A redirected skb is in no memory account until sk_psock_backlog has put it into the
 * destination's send queue (net/core/skmsg.c, 6.18). So the verdict program keeps the account
 * itself: the true size of every skb since the last look at the destination, plus what the
 * send queue held then. The sum can only be too high, so that the destination needs a look
 * only when the sum meets the window: once in a window's worth of traffic.
 *
 * At a look the write sequence tells how many bytes have left the backlog, but not how many
 * skbs, nor how large these were. Hence the epochs: each remembers the true size of a stretch of
 * the stream and where the stretch ended; it is released when the stream has passed that end.
 */

#include <linux/types.h>

#define SL_BUDGET_EPOCHS 8

struct sl_epoch {
	__u64 end;    /* stream position after the epoch's last byte */
	__u32 charge; /* true size of its skbs, bytes; 0 says that the epoch is free */
	__u32 unused;
};

struct sl_budget {
	__u32 queued;  /* the destination's sk_wmem_queued at the last look, bytes */
	__u32 backlog; /* sum of the epochs' charges, bytes */
	__u32 current; /* index of the epoch that takes charges */
	__u32 stale;   /* proxyd may have sent since the last look: `queued` may be too low */
	__u32 unused;
	__u32 goal; /* payload bytes that the destination puts into an skb; 0: not known */
	struct sl_epoch epochs[SL_BUDGET_EPOCHS];
};

/* The upper bound of what the direction holds, bytes. */
static inline __u64 sl_budget_held(const struct sl_budget *budget)
{
	return (__u64)budget->queued + budget->backlog;
}

/* What an skb of the destination weighs beyond its payload: its head and struct sk_buff. */
#define SL_SEND_OVERHEAD 1536

/*
 * What `len` bytes that came in an skb of `truesize` bytes weigh at most, there or in the send
 * queue of a destination that makes skbs of `goal` bytes (tcp_xmit_size_goal, 6.18).
 */
static inline __u32 sl_budget_weight(const struct sl_budget *budget, __u32 len, __u32 truesize)
{
	__u32 goal = budget->goal ? budget->goal : 1;
	__u64 there = len + ((__u64)len / goal + 1) * SL_SEND_OVERHEAD;

	return there > truesize ? (__u32)there : truesize;
}

/* Account for an skb of `truesize` bytes whose last payload byte is at `end` - 1. */
static inline void sl_budget_charge(struct sl_budget *budget, __u32 window, __u64 end,
				    __u32 truesize)
{
	__u32 next = (budget->current + 1) % SL_BUDGET_EPOCHS;
	struct sl_epoch *epoch = &budget->epochs[budget->current % SL_BUDGET_EPOCHS];

	epoch->end = end;
	epoch->charge += truesize;
	budget->backlog += truesize;
	if (epoch->charge >= window / SL_BUDGET_EPOCHS && !budget->epochs[next].charge)
		budget->current = next;
}

/*
 * Settle the account after a look at the destination: `position` is the stream position up
 * to which bytes have left the backlog, `queued` its sk_wmem_queued, read in that
 * order: what moves from one to the other in between is then counted twice, never missed.
 */
static inline void sl_budget_settle(struct sl_budget *budget, __u64 position, __u32 queued)
{
	for (__u32 i = 0; i < SL_BUDGET_EPOCHS; i++) {
		struct sl_epoch *epoch = &budget->epochs[i];

		if (epoch->charge && position >= epoch->end) {
			budget->backlog -= epoch->charge;
			epoch->charge = 0;
		}
	}
	budget->queued = queued;
	budget->stale = 0;
}

#endif
