/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_TABLE_H
#define PROXYD_TABLE_H

/*
 * The Maglev table of an upstream. It takes about a millisecond to build, so that is done without
 * the upstream's lock: draft, with the lock; build, without; take, with; free, without. Meanwhile
 * other threads go by the table before.
 */

#include "policy/maglev.h"
#include "policy/roster.h"

struct table_draft {
	struct maglev *maglev;
	struct maglev_member *members; /* an own reference to each endpoint */
	unsigned int count;
	uint64_t generation;
};

struct table {
	struct table_draft now;
	bool building;
};

/*
 * With the lock: if the table is not that of the roster's serving tier, and nobody builds it
 * already, note what the next one is made of. Returns whether the caller is to build it.
 */
bool table_draft(struct table *table, const struct roster *roster, struct table_draft *out);

/* Without the lock. Out of memory there will be no table. */
void table_build(struct table_draft *draft);

/* With the lock: the draft becomes the table, and the table a draft to be freed. */
void table_take(struct table *table, struct table_draft *draft);

/* Without the lock, in case it is a large one. */
void table_draft_free(struct table_draft *draft);

#endif
