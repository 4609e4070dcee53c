/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_LIMIT_H
#define PROXYD_LIMIT_H

/*
 * Whom a listener lets in, and how many. One object a listener, which outlives a reload; any thread
 * may call. A source is an IPv4 address, mapped into IPv6 or not, or an IPv6 /64. Memory is
 * bounded: a source is remembered while it has flows or, of those without, while its rate
 * has not recovered and it is among the 65536 that were idle last.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

struct limit;
struct limit_rules;

/* Returns 0 or -errno. What is needed of the config is copied. */
int limit_new(const struct config_listener *config, struct limit **out);

/* All that can fail of following a new config. Returns 0 or -ENOMEM. */
int limit_rules_new(const struct config_listener *config, struct limit_rules **out);
void limit_rules_free(struct limit_rules *rules); /* NULL is fine */

/*
 * Follow a new config of the same listener by the rules that were made of it, which are taken over.
 * Flows that are in stay, and count. Those that wait may find a place now.
 */
void limit_follow(struct limit *limit, struct limit_rules *rules);

/* The listener's, which never changes. */
const char *limit_name(const struct limit *limit);

struct limit *limit_ref(struct limit *limit);
void limit_unref(struct limit *limit); /* NULL is fine */

enum limit_verdict {
	LIMIT_ADMITTED,     /* and counted: limit_release() when the flow ends */
	LIMIT_DENIED,       /* by address; never to be queued */
	LIMIT_FLOWS,        /* max_flows is reached */
	LIMIT_SOURCE_FLOWS, /* max_flows_per_source is reached */
	LIMIT_SOURCE_RATE,  /* rate_per_source is spent */
};

/*
 * `now_ms`: the monotonic clock. `source` may be of length 0: the client is gone. Only what is
 * admitted is taken from the rate, so it may be asked for again and again: 1 + rate_burst
 * at once, then rate_per_source a second. Out of memory for a source's entry, it is admitted
 * uncounted.
 */
enum limit_verdict limit_admit(struct limit *limit, const struct address *source, uint64_t now_ms);

/* A client was refused for good, for limit_json(): at once, or after it had waited in vain. */
void limit_turned_away(struct limit *limit, enum limit_verdict verdict);

/*
 * The flow has ended; `source` as in limit_admit(). Returns whether flows that wait for a place may
 * be admitted now. A flow that was refused meanwhile but does not wait yet hears nothing of it,
 * and LIMIT_SOURCE_RATE passes with time: who waits asks again now and then.
 */
bool limit_release(struct limit *limit, const struct address *source);

/* For `proxyd status`: flows, sources remembered, and how many were turned away for what. */
json_t *limit_json(struct limit *limit);

#endif
