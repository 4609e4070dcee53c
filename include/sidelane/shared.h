/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_SHARED_H
#define SIDELANE_SHARED_H

/* What the programs and proxyd say to each other besides the ledger. */

#include "sidelane/key.h"
#include "sidelane/ledger.h"

#define SL_WORKERS_MAX 64

/* Where the bytes of an enrolled socket go. Keyed by the source's cookie; written by proxyd. */
struct sl_peer {
	struct sl_key destination;
	__u32 slot;      /* index into `published` */
	__u16 worker;    /* whose ring buffer takes this direction's events */
	__u16 direction; /* enum sl_direction_index */
};

enum sl_event_kind {
	SL_EVENT_PASSED = 1,       /* bytes wait for proxyd in a direction that it slept on */
	SL_EVENT_SMALL_WRITES = 2, /* the direction would be cheaper in the relay lane */
	SL_EVENT_BROKEN = 3,       /* an skb had to be dropped: the flow must be aborted */
};

struct sl_event {
	__u64 cookie; /* of the source */
	__u32 slot;
	__u32 kind; /* enum sl_event_kind */
};

/* Per-CPU sums since start, for `proxyd status`. */
struct sl_totals {
	__u64 bytes[2];      /* redirected, by enum sl_direction_index */
	__u64 window_stalls; /* times that a direction's window was full */
	__u64 no_peer;       /* redirects that found no destination and were passed instead */
	__u64 events_lost;   /* ring buffer full */
	__u64 enrolled;      /* sockets enrolled by sock_ops */
	__u64 not_enrolled;  /* sockets that sock_ops could not enrol */
};

#endif
