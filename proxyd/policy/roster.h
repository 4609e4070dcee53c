/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ROSTER_H
#define PROXYD_ROSTER_H

/*
 * Who takes flows now, and with what share: what remains of an upstream's members after health,
 * ejections, drains, weights, backups, the panic threshold and slow start. Worked out when one of
 * these changes, or at the time at which one changes by itself, so that a pick only reads it.
 */

#include "policy/members.h"
#include "policy/news.h"

/* Endpoints among which a pick chooses. */
struct tier {
	struct endpoint **endpoints;
	uint64_t *sums; /* sums[i]: shares of the endpoints up to and with i */
	unsigned int count;
};

enum serving {
	SERVING_NOTHING_YET, /* no endpoint has been known so far */
	SERVING_PRIMARIES,
	SERVING_BACKUPS, /* no primary is usable */
	SERVING_PANIC,   /* too few are usable to tell who is: all are taken */
	SERVING_NONE,
};

struct roster {
	struct tier serving;
	struct tier reserve; /* backups, for a flow that has tried all who serve */
	unsigned int room;   /* of each tier */
	enum serving state;
	uint64_t generation; /* counts the changes of `serving` */
	uint64_t due_ms;     /* something changes by itself then */
	bool stale;          /* something has changed */
};

/* What it goes by, from the config. */
struct roster_rules {
	const char *upstream; /* name, for the news */
	uint64_t slow_start;  /* ms */
	uint32_t panic_percent;
};

/* Make room for so many members. Returns 0, or -ENOMEM with nothing changed. */
int roster_reserve(struct roster *roster, unsigned int members);
void roster_free(struct roster *roster);

/* Bring it up to date, if it is not. Returns whether it was not. */
bool roster_refresh(struct roster *roster, const struct members *members,
		    const struct roster_rules *rules, uint64_t now_ms, struct news *news);

/*
 * Whether an endpoint may be ejected: somebody must be left for the flows. That may be a panic,
 * which takes the ejected ones too and is better than to stay with the one that just failed;
 * without a panic threshold another one must be usable. One that takes no flows anyway need not be
 * ejected.
 */
bool roster_may_lose(const struct members *members, const struct roster_rules *rules,
		     const struct endpoint *endpoint);

static inline uint64_t tier_total(const struct tier *tier)
{
	return tier->count ? tier->sums[tier->count - 1] : 0;
}

#endif
