// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "unit/pool.h"

#define PICKS 100000

static struct pool pool;

static void close_pool(void)
{
	pool_close(&pool);
}

Test(round_robin, equal_weights_take_turns, .fini = close_pool)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 7);
	pool_open(&pool);
	for (int i = 0; i < PICKS; i++)
		cr_assert_eq(pool_visit(&pool, NULL), i % 7, "pick %d", i);
}

/* Any run of as many picks as the weights sum up to has each endpoint as often as it weighs. */
Test(round_robin, weights_are_exact_and_smooth, .fini = close_pool)
{
	static const uint32_t weights[] = {5, 1, 1, 3};
	int counts[4] = {0}, last = -1, row = 0;

	pool_init(&pool, BALANCE_ROUND_ROBIN, 0);
	for (int i = 0; i < 4; i++)
		pool_add(&pool, weights[i]);
	pool_open(&pool);
	for (int i = 0; i < PICKS; i++) {
		int index = pool_visit(&pool, NULL);

		counts[index]++;
		row = index == last ? row + 1 : 1;
		last = index;
		cr_assert_leq(row, 2, "%d picks of one endpoint in a row", row);
		if ((i + 1) % 10 == 0)
			for (int j = 0; j < 4; j++)
				cr_assert_eq(counts[j], (int)weights[j] * (i + 1) / 10);
	}
}
