/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_LIMIT_H
#define PROXYD_LIMIT_H

/*
 * Whom a listener lets in, and how many. One object a listener, which outlives a reload; any thread
 * may call.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

struct limit;

int limit_new(const struct config_listener *config, struct limit **out);

/* Follow a new config of the same listener. Returns 0, or -errno with nothing changed. */
int limit_update(struct limit *limit, const struct config_listener *config);

struct limit *limit_ref(struct limit *limit);
void limit_unref(struct limit *limit); /* NULL is fine */

enum limit_verdict {
	LIMIT_ADMITTED,     /* and counted: limit_release() when the flow ends */
	LIMIT_DENIED,       /* by address; never to be queued */
	LIMIT_FLOWS,        /* max_flows is reached */
	LIMIT_SOURCE_FLOWS, /* max_flows_per_source is reached */
	LIMIT_SOURCE_RATE,  /* rate_per_source is spent */
};

/* `now_ms`: the monotonic clock. Out of memory for a source's entry, it is admitted uncounted. */
enum limit_verdict limit_admit(struct limit *limit, const struct address *source, uint64_t now_ms);

/* Returns whether flows that wait for a place may be admitted now. */
bool limit_release(struct limit *limit, const struct address *source);

/* For `proxyd status`: flows, and how many were turned away for which reason. */
json_t *limit_json(struct limit *limit);

#endif
