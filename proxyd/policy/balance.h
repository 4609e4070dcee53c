/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_BALANCE_H
#define PROXYD_BALANCE_H

/* The choice of one endpoint of a tier. The caller has the upstream's lock. */

#include "policy/maglev.h"
#include "policy/roster.h"

/*
 * Returns the endpoint, or NULL where each has been tried or has no room. `maglev`: the table for
 * BALANCE_MAGLEV; it may lag behind the tier, or be NULL.
 */
struct endpoint *balance_pick(enum balance balance, const struct tier *tier,
			      const struct maglev *maglev, const struct upstream_request *request);

/* Whether the flow of this request has tried the endpoint in vain. */
bool balance_was_tried(const struct upstream_request *request, const struct endpoint *endpoint);

#endif
