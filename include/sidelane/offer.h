/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_OFFER_H
#define SIDELANE_OFFER_H

/* The direct lane through the proxy: who is whose other end, and how their numbers differ. */

#include "sidelane/direct.h"

/*
 * Through a proxy the two ends are those of a flow's two connections. proxyd offers a flow by its
 * own two sockets, one of these for each; the other end of its connection is the near end. The scan
 * visits proxyd's sockets too and notes their numbers, by which a near end finds its offer, and by
 * way of the flow's other socket its other end.
 */
struct sl_offer {
	/* Written by proxyd, before it is in the map. */
	__u64 other; /* cookie of the flow's other socket */
	__u32 side;  /* 0: it faces the client, who has connected; 1: proxyd has connected it */
	__u32 added; /* by proxyd to the near end's stream ahead of its bytes: PROXY headers */
	/* Written by the scan alone. */
	__u32 reason; /* enum sl_direct_reason of the near end; until it is met SL_REASON_NO_PEER */
	__u32 unused;
	struct sl_end_key key;
	__u64 seen_ns;
	/* Written by the verdict of the near end alone. */
	__u64 active_ns; /* when a message went direct, coarse clock */
	__u64 bytes;     /* that it has sent direct */
};

/* The key of the near end. */
static inline struct sl_end_key sl_offer_near(const struct sl_offer *offer)
{
	return sl_end_key_mirror(&offer->key, (int)offer->side);
}

/*
 * How much further the near end's numbers are than those of a receiver with this key at the same
 * byte of the stream.
 */
static inline __u32 sl_offer_shift(const struct sl_offer *offer, const struct sl_end_key *receiver)
{
	return offer->key.first_in - receiver->first_in - offer->added;
}

#endif
