// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/balance.h"
#include "unit/chi_square.h"
#include "unit/pool.h"

#define PICKS 100000
#define KINDS 10

static const uint32_t equal[KINDS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const uint32_t uneven[KINDS] = {1, 2, 3, 5, 8, 13, 21, 34, 55, 0};

static const enum balance every[] = {
	BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS, BALANCE_RANDOM_TWO, BALANCE_SOURCE_HASH,
	BALANCE_MAGLEV,
};

#define for_each_balance(b)                                                                        \
	for (const enum balance *b = every; b < every + sizeof(every) / sizeof(*every); b++)

static struct pool pool;

static void close_pool(void)
{
	pool_close(&pool);
}

static void open_pool(enum balance balance, const uint32_t *weights, unsigned int count)
{
	pool_init(&pool, balance, 0);
	for (unsigned int i = 0; i < count; i++)
		pool_add(&pool, weights[i]);
	pool_open(&pool);
	pool.rng = seeded("balance");
}

/* A flow from each of PICKS sources, one after the other. */
static void count_visits(uint64_t counts[KINDS])
{
	uint32_t first = (uint32_t)rng_next(&pool.rng);

	memset(counts, 0, KINDS * sizeof(*counts));
	for (uint32_t i = 0; i < PICKS; i++) {
		const struct address source = pool_source(first + i);
		int index = pool_visit(&pool, &source);

		cr_assert_geq(index, 0, "pick: %s", strerror(-index));
		counts[index]++;
	}
}

static void check_visits(const char *what, enum balance balance, const uint32_t *weights)
{
	uint64_t counts[KINDS];

	open_pool(balance, weights, KINDS);
	count_visits(counts);
	assert_distribution(what, counts, weights, KINDS);
	pool_close(&pool);
}

Test(round_robin, equal_weights_take_turns, .fini = close_pool)
{
	open_pool(BALANCE_ROUND_ROBIN, equal, 7);
	for (int i = 0; i < PICKS; i++)
		cr_assert_eq(pool_visit(&pool, NULL), i % 7, "pick %d", i);
}

/* Any run of as many picks as the weights sum up to has each endpoint as often as it weighs. */
Test(round_robin, weights_are_exact_and_smooth, .fini = close_pool)
{
	static const uint32_t weights[] = {5, 1, 1, 3};
	int counts[4] = {0}, last = -1, row = 0;

	open_pool(BALANCE_ROUND_ROBIN, weights, 4);
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

Test(least_connections, ties_are_spread_by_weight)
{
	check_visits("least_connections, equal", BALANCE_LEAST_CONNECTIONS, equal);
	check_visits("least_connections, weighted", BALANCE_LEAST_CONNECTIONS, uneven);
}

Test(least_connections, flows_are_in_proportion_to_weights, .fini = close_pool)
{
	static struct endpoint *held[PICKS];
	int flows[KINDS] = {0}, weights = 0;

	open_pool(BALANCE_LEAST_CONNECTIONS, uneven, KINDS);
	for (int i = 0; i < KINDS; i++)
		weights += (int)uneven[i];
	for (int i = 0; i < PICKS; i++) {
		held[i] = pool_pick(&pool);
		flows[pool_index(held[i])]++;
	}
	for (int i = 0; i < KINDS; i++) {
		double due = (double)PICKS * uneven[i] / weights;

		cr_expect(fabs(flows[i] - due) <= 1 + uneven[i], "%d has %d flows, due are %g", i,
			  flows[i], due);
	}
	for (int i = 0; i < PICKS; i++)
		endpoint_release(held[i]);
}

Test(least_connections, the_one_with_the_fewest_flows_is_taken, .fini = close_pool)
{
	struct endpoint *held[100], *next;

	open_pool(BALANCE_LEAST_CONNECTIONS, equal, KINDS);
	for (int i = 0; i < 100; i++)
		held[i] = pool_pick(&pool);
	for (int i = 0; i < 100; i++) {
		unsigned int index = pool_index(held[i]);

		endpoint_release(held[i]);
		next = pool_pick(&pool);
		cr_assert_eq(pool_index(next), index, "%d", i);
		held[i] = next;
	}
	for (int i = 0; i < 100; i++)
		endpoint_release(held[i]);
}

Test(random_two, idle_endpoints_are_taken_by_weight)
{
	check_visits("random_two, equal", BALANCE_RANDOM_TWO, equal);
	check_visits("random_two, weighted", BALANCE_RANDOM_TWO, uneven);
}

/*
 * Two choices keep the loads within a few flows of each other; chance alone, 300 apart (one
 * standard deviation is 95).
 */
Test(random_two, loads_stay_close, .fini = close_pool)
{
	static struct endpoint *held[PICKS];
	int flows[KINDS] = {0}, least = PICKS, most = 0;

	open_pool(BALANCE_RANDOM_TWO, equal, KINDS);
	for (int i = 0; i < PICKS; i++) {
		held[i] = pool_pick(&pool);
		flows[pool_index(held[i])]++;
	}
	for (int i = 0; i < KINDS; i++) {
		least = flows[i] < least ? flows[i] : least;
		most = flows[i] > most ? flows[i] : most;
	}
	fprintf(stderr, "random_two: from %d to %d flows\n", least, most);
	cr_expect_leq(most - least, 20);
	for (int i = 0; i < PICKS; i++)
		endpoint_release(held[i]);
}

/* The two are never the same one, so the busiest of all loses to whomever it meets. */
Test(random_two, the_busiest_is_never_taken, .fini = close_pool)
{
	struct endpoint *held = NULL;

	open_pool(BALANCE_RANDOM_TWO, equal, 3);
	held = pool_pick(&pool);
	for (int i = 0; i < PICKS / 10; i++)
		cr_assert_neq(pool_visit(&pool, NULL), (int)pool_index(held), "pick %d", i);
	endpoint_release(held);
}

Test(source_hash, sources_are_spread_by_weight)
{
	check_visits("source_hash, equal", BALANCE_SOURCE_HASH, equal);
	check_visits("source_hash, weighted", BALANCE_SOURCE_HASH, uneven);
}

Test(maglev, sources_are_spread_by_weight)
{
	check_visits("maglev, equal", BALANCE_MAGLEV, equal);
	check_visits("maglev, weighted", BALANCE_MAGLEV, uneven);
}

#define SOURCES 2000

static void note_indexes(int indexes[SOURCES], uint16_t port)
{
	for (uint32_t i = 0; i < SOURCES; i++) {
		struct address source = pool_source(i);

		source.ipv4.sin_port = htons(port);
		indexes[i] = pool_visit(&pool, &source);
		cr_assert_geq(indexes[i], 0);
	}
}

static void check_stability(enum balance balance)
{
	int before[SOURCES], again[SOURCES], without[SOURCES];

	open_pool(balance, uneven, KINDS);
	note_indexes(before, 1000);
	note_indexes(again, 2000);
	cr_expect_eq(memcmp(before, again, sizeof(before)), 0, "the port matters");
	cr_assert_eq(upstream_drain(pool.upstream, "10.0.0.9:80", true), 0);
	note_indexes(without, 1000);
	note_indexes(again, 1000);
	cr_expect_eq(memcmp(without, again, sizeof(again)), 0, "not stable after a drain");
	for (int i = 0; i < SOURCES; i++)
		cr_assert_neq(without[i], 8);
	cr_assert_eq(upstream_drain(pool.upstream, "10.0.0.9:80", false), 0);
	note_indexes(again, 1000);
	cr_expect_eq(memcmp(before, again, sizeof(again)), 0, "not as before the drain");
	pool_close(&pool);
}

Test(source_hash, a_source_stays_while_the_endpoints_stay)
{
	check_stability(BALANCE_SOURCE_HASH);
}

Test(maglev, a_source_stays_while_the_endpoints_stay)
{
	check_stability(BALANCE_MAGLEV);
}

/* IPv4 is IPv4, by whichever socket it comes. */
Test(maglev, mapped_addresses_are_the_same_source, .fini = close_pool)
{
	open_pool(BALANCE_MAGLEV, equal, KINDS);
	for (unsigned int i = 1; i < 200; i++) {
		char text[64];
		struct address plain, mapped;

		snprintf(text, sizeof(text), "192.0.2.%u:1", i);
		plain = address_of(text);
		snprintf(text, sizeof(text), "[::ffff:192.0.2.%u]:2", i);
		mapped = address_of(text);
		cr_assert_eq(pool_visit(&pool, &plain), pool_visit(&pool, &mapped));
	}
}

/* Whom a source is led to while its own endpoint is full, or failed, is stable too. */
Test(maglev, the_second_choice_is_stable, .fini = close_pool)
{
	open_pool(BALANCE_MAGLEV, equal, KINDS);
	for (uint32_t i = 0; i < 1000; i++) {
		const struct address source = pool_source(i);
		struct endpoint *first, *second, *again;

		cr_assert_eq(pool_try(&pool, &source, NULL, 0, &first), 0);
		cr_assert_eq(pool_try(&pool, &source, &first, 1, &second), 0);
		cr_assert_eq(pool_try(&pool, &source, &first, 1, &again), 0);
		cr_assert_neq(first, second);
		cr_assert_eq(second, again);
		endpoint_release(first);
		endpoint_release(second);
		endpoint_release(again);
	}
}

/* Those whom a full endpoint cannot take go to the others by weight, not all to its neighbour. */
Test(every_balance, what_a_full_endpoint_cannot_take_is_spread)
{
	static const uint32_t others[KINDS] = {0, 2, 3, 5, 8, 13, 21, 34, 55, 0};

	for_each_balance(balance)
	{
		uint64_t counts[KINDS];
		struct endpoint *held = NULL;

		pool_init(&pool, *balance, 0);
		for (int i = 0; i < KINDS; i++)
			pool_add(&pool, i ? uneven[i] : 200);
		pool.endpoints[0].max_flows = 1;
		pool_open(&pool);
		for (uint32_t i = 0; !held || pool_index(held); i++) {
			const struct address source = pool_source(i);

			if (held)
				endpoint_release(held);
			cr_assert_eq(pool_try(&pool, &source, NULL, 0, &held), 0);
		}
		pool.rng = seeded("full");
		count_visits(counts);
		assert_distribution("others than the full one", counts, others, KINDS);
		endpoint_release(held);
		pool_close(&pool);
	}
}

Test(every_balance, tried_endpoints_are_not_taken_again)
{
	for_each_balance(balance)
	{
		struct endpoint *tried[5], *none;

		open_pool(*balance, equal, 4);
		for (unsigned int i = 0; i < 4; i++) {
			cr_assert_eq(pool_try(&pool, NULL, tried, i, &tried[i]), 0);
			for (unsigned int j = 0; j < i; j++)
				cr_assert_neq(tried[i], tried[j], "balance %d", *balance);
		}
		cr_assert_eq(pool_try(&pool, NULL, tried, 4, &none), -EHOSTUNREACH);
		for (unsigned int i = 0; i < 4; i++)
			endpoint_release(tried[i]);
		pool_close(&pool);
	}
}

Test(every_balance, full_endpoints_are_passed_over)
{
	for_each_balance(balance)
	{
		struct endpoint *held[20], *next;
		int flows[4] = {0};

		pool_init(&pool, *balance, 4);
		for (int i = 0; i < 4; i++)
			pool.endpoints[i].max_flows = 5;
		pool_open(&pool);
		for (int i = 0; i < 20; i++) {
			held[i] = pool_pick(&pool);
			flows[pool_index(held[i])]++;
		}
		for (int i = 0; i < 4; i++)
			cr_assert_eq(flows[i], 5, "balance %d", *balance);
		cr_assert_eq(pool_try(&pool, NULL, NULL, 0, &next), -EBUSY);
		cr_assert(endpoint_release(held[7]), "a flow may wait for the place");
		next = pool_pick(&pool);
		cr_assert_eq(next, held[7]);
		held[7] = next;
		for (int i = 0; i < 20; i++)
			endpoint_release(held[i]);
		pool_close(&pool);
	}
}

/* Round robin passes an endpoint over without owing it turns. */
Test(every_balance, one_endpoint_alone_takes_all)
{
	for_each_balance(balance)
	{
		open_pool(*balance, equal, 1);
		for (int i = 0; i < 100; i++)
			cr_assert_eq(pool_visit(&pool, NULL), 0);
		pool_close(&pool);
	}
}

Test(every_balance, without_endpoints_there_is_nobody)
{
	static const uint32_t none[] = {0, 0};

	for_each_balance(balance)
	{
		open_pool(*balance, none, 0);
		cr_assert_eq(pool_visit(&pool, NULL), -EHOSTUNREACH);
		pool_close(&pool);
		open_pool(*balance, none, 2);
		cr_assert_eq(pool_visit(&pool, NULL), -EHOSTUNREACH);
		pool_close(&pool);
	}
}

/* Endpoints of a tier with shares of 1, 2, 3, ... so small that a step too far would show. */
static void make_tier(struct tier *tier, unsigned int count)
{
	static struct endpoint *endpoints[KINDS];
	static uint64_t sums[KINDS];

	*tier = (struct tier){endpoints, sums, count};
	for (unsigned int i = 0; i < count; i++) {
		const struct address address = pool_source(i);

		cr_assert_eq(endpoint_new(NULL, &address, &endpoints[i]), 0);
		endpoints[i]->tier = tier;
		endpoints[i]->share = i + 1;
		sums[i] = i + 1 + (i ? sums[i - 1] : 0);
	}
}

static void drop_tier(struct tier *tier)
{
	for (unsigned int i = 0; i < tier->count; i++)
		endpoint_drop(tier->endpoints[i]);
}

Test(source_hash, shares_have_exact_ends)
{
	static const uint32_t shares[] = {1, 2, 3, 4, 5};
	uint64_t counts[5] = {0};
	struct tier tier;

	make_tier(&tier, 5);
	for (uint32_t i = 0; i < PICKS; i++) {
		const struct address source = pool_source(i);
		const struct upstream_request request = {.source = &source};
		struct endpoint *endpoint =
			balance_pick(BALANCE_SOURCE_HASH, &tier, NULL, &request);

		counts[endpoint->share - 1]++;
	}
	assert_distribution("small shares", counts, shares, 5);
	drop_tier(&tier);
}

/* A table is built without the lock, so the one before may lead to somebody who serves no more. */
Test(maglev, a_table_that_lags_behind_does_no_harm)
{
	struct maglev_member members[4];
	struct maglev *maglev;
	struct tier tier;

	make_tier(&tier, 4);
	for (int i = 0; i < 4; i++)
		members[i] = (struct maglev_member){tier.endpoints[i]->name, 1, tier.endpoints[i]};
	cr_assert_eq(maglev_new(members, 4, MAGLEV_SIZE, &maglev), 0);
	tier.count = 3;
	tier.endpoints[3]->tier = NULL;
	for (uint32_t i = 0; i < 1000; i++) {
		const struct address source = pool_source(i);
		const struct upstream_request request = {.source = &source};
		struct endpoint *endpoint = balance_pick(BALANCE_MAGLEV, &tier, maglev, &request);

		cr_assert(endpoint && endpoint != tier.endpoints[3]);
		cr_assert_eq(endpoint, balance_pick(BALANCE_MAGLEV, &tier, maglev, &request));
		cr_assert(balance_pick(BALANCE_MAGLEV, &tier, NULL, &request));
	}
	maglev_free(maglev);
	tier.count = 4;
	drop_tier(&tier);
}
