// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>

#include "policy/retry_budget.h"

static int take_all(struct retry_budget *budget, uint32_t percent, uint32_t least, uint64_t now_ms)
{
	int taken = 0;

	while (retry_budget_take(budget, percent, least, now_ms))
		cr_assert_lt(++taken, 10000);
	return taken;
}

Test(retry_budget, a_share_of_the_connects_may_be_retried)
{
	struct retry_budget budget = {0};

	for (int i = 0; i < 500; i++)
		retry_budget_connect(&budget, 5000);
	cr_expect_eq(take_all(&budget, 20, 3, 5900), 100);
	/* The next window still remembers this one, the one after it does not. */
	for (int i = 0; i < 100; i++)
		retry_budget_connect(&budget, 6000);
	cr_expect_eq(take_all(&budget, 20, 3, 6999), 20);
	cr_expect_eq(take_all(&budget, 20, 3, 7000), 0);
	cr_expect_eq(take_all(&budget, 20, 3, 9000), 3);
	cr_expect_eq(budget.refused, 4);
}

Test(retry_budget, some_may_be_retried_in_any_case)
{
	struct retry_budget budget = {0};

	cr_expect_eq(take_all(&budget, 20, 3, 1000), 3);
	cr_expect_eq(take_all(&budget, 20, 3, 2999), 0);
	cr_expect_eq(take_all(&budget, 20, 3, 3000), 3);
}

Test(retry_budget, none_is_none)
{
	struct retry_budget budget = {0};

	for (int i = 0; i < 100; i++)
		retry_budget_connect(&budget, 1);
	cr_expect_eq(take_all(&budget, 0, 0, 1), 0);
}

/* Two threads may have read the clock in the other order. */
Test(retry_budget, a_clock_that_steps_back_changes_nothing)
{
	struct retry_budget budget = {0};

	for (int i = 0; i < 100; i++)
		retry_budget_connect(&budget, 5000);
	retry_budget_connect(&budget, 4999);
	cr_expect_eq(take_all(&budget, 20, 0, 4999), 20);
}
