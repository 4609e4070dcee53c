/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_LEDGER_H
#define SIDELANE_LEDGER_H

/*
 * One direction's ledger and the one rule that is decided on it:
 *
 *   A byte may enter a lane only when no earlier byte of its direction is still inside
 *   another lane.
 *
 * `redirected` and `passed` are written only by the verdict program, under the source socket's
 * lock. `relayed` is written only by proxyd, after the destination has taken the bytes. Passed
 * bytes go to proxyd, so they are inside the relay lane until passed == relayed.
 */

#include "sidelane/budget.h"
#include "sidelane/key.h"
#include "sidelane/pattern.h"

enum sl_lane {
	SL_LANE_RELAY = 0,
	SL_LANE_KERNEL = 1,
};

enum sl_direction_index {
	SL_UP = 0,   /* client to server */
	SL_DOWN = 1, /* server to client */
};

struct sl_ledger {
	struct sl_key key; /* of the source; the socket is in `sockets` under it */
	__u64 redirected;  /* bytes that entered the kernel lane */
	__u64 passed;      /* bytes left to proxyd, since the socket was enrolled */
	__u64 skbs;        /* skbs redirected */
	__u32 base;        /* destination's write_seq where this ledger's stream starts */
	__u32 next_seq;    /* of the source: where its next skb must begin */
	__u32 broken;      /* an skb was dropped: no later byte may cross, and no FIN */
	__u32 unused;
	struct sl_budget budget;
	struct sl_pattern pattern;
};

/* proxyd's half of the ledger, one per direction, in memory that both sides map. */
struct sl_published {
	__u64 relayed; /* of the passed bytes, those that the destination has taken, or proxyd has
			  kept */
	__u32 lane;    /* enum sl_lane: where proxyd wants the direction */
	__u32 window;  /* kernel memory that the direction may hold, bytes */
	__u32 watched; /* whether proxyd wants to know of a stream of small writes */
	__u32 unused;
};

enum sl_verdict {
	SL_PASS,     /* to proxyd */
	SL_REDIRECT, /* to the destination's socket */
	SL_LOOK,     /* the budget looks spent: settle it against the destination, ask again */
};

/*
 * The one rule, for an skb that weighs `weight` bytes of memory (sl_budget_weight).
 */
static inline enum sl_verdict sl_rule(const struct sl_ledger *ledger,
				      const struct sl_published *published, __u32 weight)
{
	if (published->lane != SL_LANE_KERNEL)
		return SL_PASS;
	if (ledger->passed != published->relayed)
		return SL_PASS;
	if (ledger->budget.stale || sl_budget_held(&ledger->budget) + weight > published->window)
		return SL_LOOK;
	return SL_REDIRECT;
}

/* The stream position behind the last byte that came in. */
static inline __u64 sl_ledger_position(const struct sl_ledger *ledger)
{
	return ledger->redirected + ledger->passed;
}

/*
 * Settle the budget against the destination: its write_seq, then its sk_wmem_queued, read in
 * that order. Only to be called when passed == relayed. As long as nothing was redirected, all
 * that proxyd ever sent is in write_seq, so the base follows from it. What is still in the backlog
 * is far less than 4 GiB, so 32 bits tell how much.
 */
static inline void sl_ledger_settle(struct sl_ledger *ledger, __u32 write_seq, __u32 queued)
{
	__u64 position = sl_ledger_position(ledger);
	__u32 outstanding;

	if (!ledger->redirected)
		ledger->base = write_seq - (__u32)ledger->passed;
	outstanding = (__u32)position - (write_seq - ledger->base);
	sl_budget_settle(&ledger->budget, position - outstanding, queued);
}

/*
 * Whether nothing that the source sent before its end is still on its way to proxyd, of which it
 * has published `relayed` bytes and read `read` bytes ever, with none of them in its hands. Two
 * conditions:
 *
 * - What was passed has been read. That is exact, once recv() has found the end: it takes the lock
 *   under which the verdict program has counted all that came before.
 * - A stream parser counts later, from a work queue. So TCP is asked as well: `received` bytes,
 * which counts a FIN (tcp_fin's byte of sequence space) but cannot tell whether there was one.
 * Hence one byte in front of a RST may be missed, behind a stream parser only.
 */
static inline int sl_ledger_complete(const struct sl_ledger *ledger, __u64 relayed, __u64 read,
				     __u64 received)
{
	return ledger->passed == relayed && ledger->redirected + read + 1 >= received;
}

static inline void sl_ledger_redirect(struct sl_ledger *ledger, __u32 window, __u32 len,
				      __u32 truesize)
{
	ledger->redirected += len;
	ledger->skbs++;
	sl_budget_charge(&ledger->budget, window, sl_ledger_position(ledger), truesize);
}

/*
 * Account for `len` bytes left to proxyd. Returns whether proxyd must be woken: it sleeps
 * while a direction is in the kernel lane, and one wake-up serves until it has caught up.
 */
static inline int sl_ledger_pass(struct sl_ledger *ledger, const struct sl_published *published,
				 __u32 len)
{
	int first = published->lane == SL_LANE_KERNEL && ledger->passed == published->relayed;

	ledger->passed += len;
	ledger->budget.stale = 1;
	return first;
}

#endif
