// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/deadline.h"

#include <stddef.h>

void deadlines_init(struct deadlines *deadlines)
{
	for (int i = 0; i < DEADLINE_LISTS; i++)
		TAILQ_INIT(&deadlines->lists[i]);
}

/* Two timeouts that meet in a list cost longer walks, no more. Multiplier: Knuth's, 2^64 / phi. */
static struct deadline_list *list_of(struct deadlines *deadlines, uint64_t timeout)
{
	return &deadlines->lists[(timeout * 0x9E3779B97F4A7C15ULL >> 32) % DEADLINE_LISTS];
}

void deadline_clear(struct deadline *deadline)
{
	if (deadline->list)
		TAILQ_REMOVE(deadline->list, deadline, entry);
	deadline->list = NULL;
}

void deadline_set(struct deadlines *deadlines, struct deadline *deadline, uint64_t since,
		  uint64_t timeout)
{
	struct deadline *before;

	deadline_clear(deadline);
	deadline->list = list_of(deadlines, timeout);
	deadline->at = timeout ? since + timeout : DEADLINE_NEVER;
	before = TAILQ_LAST(deadline->list, deadline_list);
	while (before && before->at > deadline->at)
		before = TAILQ_PREV(before, deadline_list, entry);
	if (before)
		TAILQ_INSERT_AFTER(deadline->list, before, deadline, entry);
	else
		TAILQ_INSERT_HEAD(deadline->list, deadline, entry);
}

struct deadline *deadlines_first(const struct deadlines *deadlines)
{
	struct deadline *first = NULL;

	for (int i = 0; i < DEADLINE_LISTS; i++) {
		struct deadline *head = TAILQ_FIRST(&deadlines->lists[i]);

		if (head && (!first || head->at < first->at))
			first = head;
	}
	return first;
}
