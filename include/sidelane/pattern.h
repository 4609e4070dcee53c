/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_PATTERN_H
#define SIDELANE_PATTERN_H

/*
 * Tells a stream of small writes, which is cheaper to relay in large reads than to redirect skb by
 * skb, from what gains in the kernel lane: dialogues (the directions take turns) and bulk (large
 * skbs). proxyd sleeps while a flow is spliced, so the verdict program watches: a sample every
 * SL_SAMPLE skbs, a few nanoseconds for each.
 */

#include <linux/types.h>

#define SL_SAMPLE 64

/* Below this many bytes an skb, a copy of many at once costs less than a redirect of each. */
#define SL_SMALL_SKB (16 * 1024)

/*
 * So many skbs a turn are cheaper to relay at once: measured with writes of 64 B, the kernel lane's
 * round trip was shorter than the relay's at two a turn and longer at four.
 */
#define SL_TURN_SKBS 3

/* Slower than this (ns an skb) it is no stream: proxyd would wake up for nearly each skb. */
#define SL_STREAM_NS 20000

/* So fast, it is a stream even when the other direction moves as much. */
#define SL_DUPLEX_NS 4000

/* Samples in a row before it counts. */
#define SL_SAMPLES_SMALL 2

struct sl_pattern {
	__u64 since_ns;    /* CLOCK_MONOTONIC at the sample's start */
	__u64 since_bytes; /* bytes redirected then */
	__u32 opposite; /* skbs redirected in the other direction, low 32 bits, at the last skb */
	__u16 turns;    /* skbs of the sample that came after one of the other direction */
	__u16 small;    /* samples in a row that were a stream of small writes */
};

/* An skb was redirected, after so many in the other direction. */
static inline void sl_pattern_skb(struct sl_pattern *pattern, __u32 opposite)
{
	pattern->turns += opposite != pattern->opposite;
	pattern->opposite = opposite;
}

/*
 * Close the sample that ends with `bytes` redirected at `now` ns, and start the next. Returns
 * whether the direction is a stream of small writes, or a dialogue whose turns are many of them.
 */
static inline int sl_pattern_sample(struct sl_pattern *pattern, __u64 bytes, __u64 now)
{
	__u64 elapsed = now - pattern->since_ns;
	__u64 sent = bytes - pattern->since_bytes;
	int small = sent < (__u64)SL_SAMPLE * SL_SMALL_SKB &&
		    ((pattern->turns < SL_SAMPLE / SL_TURN_SKBS &&
		      elapsed < (__u64)SL_SAMPLE * SL_STREAM_NS) ||
		     elapsed < (__u64)SL_SAMPLE * SL_DUPLEX_NS);

	pattern->since_ns = now;
	pattern->since_bytes = bytes;
	pattern->turns = 0;
	pattern->small = small ? pattern->small + 1 : 0;
	return pattern->small == SL_SAMPLES_SMALL;
}

#endif
