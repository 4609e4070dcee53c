// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/deadline.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "unit/seed.h"

#define COUNT 500

/* What deadlines_first() must give, by looking at all. */
static uint64_t earliest(const struct deadline *deadlines)
{
	uint64_t first = UINT64_MAX;

	for (int i = 0; i < COUNT; i++)
		if (deadlines[i].list && deadlines[i].at < first)
			first = deadlines[i].at;
	return first;
}

/* Far more timeouts than lists, set again and again, out of order too. */
Test(deadline, the_first_is_the_earliest_whatever_the_timeouts)
{
	struct rng rng = seeded("timeouts");
	struct deadline deadlines[COUNT] = {0};
	struct deadlines all;

	deadlines_init(&all);
	for (uint64_t step = 0; step < 20000; step++) {
		struct deadline *one = &deadlines[rng_next(&rng) % COUNT];
		struct deadline *first;

		if (rng_next(&rng) % 5 == 0)
			deadline_clear(one);
		else
			deadline_set(&all, one, step + rng_next(&rng) % 50,
				     1 + rng_next(&rng) % 100 * 10);
		first = deadlines_first(&all);
		cr_assert_eq(first ? first->at : UINT64_MAX, earliest(deadlines), "step %lu", step);
	}
}

Test(deadline, they_come_due_in_order)
{
	struct deadline deadlines[COUNT] = {0};
	struct rng rng = seeded("order");
	struct deadline *first;
	struct deadlines all;
	uint64_t last = 0;
	int count = 0;

	deadlines_init(&all);
	for (int i = 0; i < COUNT; i++)
		deadline_set(&all, &deadlines[i], rng_next(&rng) % 1000, rng_next(&rng) % 1000 + 1);
	for (; (first = deadlines_first(&all)); count++) {
		cr_assert_geq(first->at, last);
		last = first->at;
		deadline_clear(first);
	}
	cr_expect_eq(count, COUNT);
}

Test(deadline, a_timeout_of_0_is_never)
{
	struct deadline never = {0}, some = {0};
	struct deadlines all;

	deadlines_init(&all);
	deadline_set(&all, &never, 5, 0);
	cr_expect_eq(deadlines_first(&all), &never);
	cr_expect_eq(never.at, DEADLINE_NEVER);
	deadline_set(&all, &some, 5, 1000000);
	cr_expect_eq(deadlines_first(&all), &some);
}
