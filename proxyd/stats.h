/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_STATS_H
#define PROXYD_STATS_H

/*
 * A worker's counters. Only the worker writes them, anyone may read them at any time: relaxed
 * atomics, which cost the writer nothing.
 */

#include <stdatomic.h>
#include <stdint.h>

/* Why a flow that was meant for the kernel lane stays in the relay. */
enum fallback_reason {
	FALLBACK_NO_ROOM,      /* all pairs of the worker are in use */
	FALLBACK_HALF_CLOSED,  /* a socket was no longer ESTABLISHED */
	FALLBACK_REFUSED,      /* the kernel takes no such socket (MPTCP, ULP) */
	FALLBACK_SMALL_WRITES, /* a stream of small writes: the relay is cheaper */
	FALLBACK_REASONS,
};

enum error_kind {
	ERROR_CONNECT_REFUSED,
	ERROR_CONNECT_TIMEOUT,
	ERROR_CONNECT_OTHER,
	ERROR_RESET_DOWNSTREAM,
	ERROR_RESET_UPSTREAM,
	ERROR_IDLE_TIMEOUT,
	ERROR_DRAIN_TIMEOUT,
	ERROR_ACCEPT,
	ERROR_RESOURCES, /* no descriptor or memory for a flow */
	ERROR_UNTRIMMED, /* an overlapping segment could not be cut: the flow was aborted */
	ERROR_LIFETIME,
	ERROR_PROXY_HEADER, /* a PROXY header is missing, bad or late, or nobody may send one */
	ERROR_DENIED,       /* by the listener's allow and deny */
	ERROR_MAX_FLOWS,    /* the listener's limits */
	ERROR_SOURCE_FLOWS, /* of one client address */
	ERROR_SOURCE_RATE,
	ERROR_QUEUE_TIMEOUT,
	ERROR_NO_ROUTE,
	ERROR_REJECTED,    /* by a route */
	ERROR_NO_ENDPOINT, /* of the upstream is usable */
	ERROR_KINDS,
};

/* As in the status. */
extern const char *const error_names[ERROR_KINDS];

/* Why a mirror was given up. */
enum mirror_loss {
	MIRROR_UNREACHABLE, /* no endpoint, or none that could be connected */
	MIRROR_SLOW,        /* its buffer was full, or the flow is long gone */
	MIRROR_RESET,
	MIRROR_LOSSES,
};

typedef _Atomic uint64_t counter;

struct stats {
	counter flows_total;
	counter flows_active;
	counter flows_kernel; /* flows whose sockets are paired in the kernel */
	counter relayed[2];   /* bytes, by direction */
	counter lane_moves;
	counter gathers; /* times that a stream of small writes began to be gathered */
	counter wakeups; /* times that a direction in the kernel lane woke proxyd */
	counter mirrors_total;
	counter mirrored;       /* bytes that mirrors took */
	counter mirror_dropped; /* bytes that they did not get */
	counter mirrors_lost[MIRROR_LOSSES];
	counter fallbacks[FALLBACK_REASONS];
	counter errors[ERROR_KINDS];
};

static inline void stats_add(counter *value, uint64_t amount)
{
	atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + amount,
			      memory_order_relaxed);
}

static inline uint64_t stats_get(const counter *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

#endif
