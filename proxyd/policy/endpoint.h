/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ENDPOINT_H
#define PROXYD_ENDPOINT_H

/*
 * One server of an upstream, known by its address. For policy/ alone; everybody else has
 * policy/upstream.h.
 *
 * Two kinds of reference. An own one (the upstream's list, a Maglev table) keeps the endpoint. One
 * that is given out (endpoint_ref(), upstream_pick()) keeps the upstream as well, so that whoever
 * has an endpoint may always ask its upstream.
 */

#include <stdatomic.h>

#include "policy/ejection.h"
#include "policy/entry.h"
#include "policy/upstream.h"

struct tier;

struct endpoint {
	/* What a pick looks at, in one cache line: some ways of balancing look at every endpoint.
	 */
	const struct tier *tier; /* where it stands; NULL: it takes no flows now */
	uint64_t share;          /* its weight there, in ENDPOINT_SHARE of the configured one */
	int64_t credit;          /* of smooth weighted round robin */
	uint64_t flows;          /* now */
	uint64_t max_flows;      /* 0: no limit */
	uint64_t picks;          /* ever */

	atomic_uint refs;
	struct upstream *upstream;
	/* These never change. */
	struct address address;
	char name[ADDRESS_TEXT];

	/* The rest is the upstream's lock's, as is what stands at the top. Where it comes from: */
	const struct entry *entry; /* NULL: it is in the config, or the DNS answer, no more */
	uint32_t entry_weight;     /* as in the config's entry */
	uint32_t weight;           /* as in the SRV record, if that has one, or the entry */
	bool backup;
	bool member; /* in the upstream's list */

	/* How it is. */
	struct command commands[COMMAND_KINDS];
	bool down; /* by active checks */
	char reason[128];
	struct ejection ejection;
	bool usable;        /* at the last look of roster_refresh() */
	uint64_t ramp_from; /* ms: slow start began; 0: over, or none */
	uint64_t connects_failed;
	uint64_t resets_early;
};

/* A weight of 1 in tiers: slow start goes up in that many steps. */
#define ENDPOINT_SHARE 100

/* Returns 0, with one own reference in *out, or -ENOMEM. */
int endpoint_new(struct upstream *upstream, const struct address *address, struct endpoint **out);

struct endpoint *endpoint_hold(struct endpoint *endpoint); /* an own reference */
void endpoint_drop(struct endpoint *endpoint);             /* NULL is fine */

uint32_t endpoint_weight(const struct endpoint *endpoint);

/* Whether the operator wants it to take flows: present, not drained, weight above 0. */
bool endpoint_is_wanted(const struct endpoint *endpoint);

/* Whether it has room for another flow. */
bool endpoint_has_room(const struct endpoint *endpoint);

json_t *endpoint_json(const struct endpoint *endpoint, uint64_t now_ms);

#endif
