/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DEADLINE_H
#define PROXYD_DEADLINE_H

/*
 * Deadlines that move all the time and are hardly ever met. They are kept in lists by the length of
 * their timeout: a new deadline of a list is nearly always its latest, so that to set one
 * costs a walk of no step.
 */

#include <stdint.h>
#include <sys/queue.h>

#define DEADLINE_LISTS 16
#define DEADLINE_NEVER UINT64_MAX

TAILQ_HEAD(deadline_list, deadline);

struct deadline {
	TAILQ_ENTRY(deadline) entry;
	struct deadline_list *list; /* NULL: not set */
	uint64_t at;                /* ms, the caller's clock; DEADLINE_NEVER */
};

struct deadlines {
	struct deadline_list lists[DEADLINE_LISTS];
};

void deadlines_init(struct deadlines *deadlines);

/* (Re)start a deadline: `timeout` ms from `since`; 0 ms is never. */
void deadline_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t since,
		  uint64_t timeout);

void deadline_clear(struct deadline *deadline);

/* The earliest deadline, which may be one at DEADLINE_NEVER; NULL when none is set. */
struct deadline *deadlines_first(const struct deadlines *deadlines);

#endif
