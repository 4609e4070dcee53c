/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_MEMBERS_H
#define PROXYD_MEMBERS_H

/*
 * Who belongs to an upstream: from the config's entries, and what their names stand for, to one
 * endpoint an address.
 */

#include "policy/endpoint.h"
#include "policy/entry.h"

/* One own reference each: the endpoints of the entries in their order, then those that leave. */
struct members {
	struct endpoint **items;
	unsigned int count;
};

/* What an entry asks for: this address, with what the entry says. */
struct wish {
	const struct entry *entry;
	const struct resolved *resolved;
	unsigned int position;
	struct endpoint *endpoint; /* own reference */
};

struct members_plan {
	struct wish *wishes;
	unsigned int count;
	struct endpoint **items; /* room for the members to come */
	unsigned int room;
};

/*
 * See which endpoints `entries` make, taking those that are there already. An address that is named
 * twice is one endpoint: of the entry where it is no backup, then where it has more weight, then
 * of the first. Nothing is changed yet. Returns 0 or -ENOMEM.
 */
int members_plan(struct upstream *upstream, const struct members *members,
		 const struct entries *entries, struct members_plan *out);

/*
 * Make it so: endpoints get what their entries say, those that no entry names leave. The plan is
 * used up; the entries must live as long as the members or until the next plan. `fresh`: new
 * endpoints need no slow start.
 */
void members_commit(struct members *members, struct members_plan *plan, bool fresh);
void members_plan_free(struct members_plan *plan);

/* Forget an endpoint that has left, and the reference to it. */
void members_remove(struct members *members, struct endpoint *endpoint);
void members_free(struct members *members);

#endif
