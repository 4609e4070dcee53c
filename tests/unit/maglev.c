// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "policy/maglev.h"
#include "unit/seed.h"

/* The sizes of the paper's section 5.3. */
#define SMALL       65537
#define LARGE       655373

#define MEMBERS_MAX 1000

static struct maglev_member members[MEMBERS_MAX];
static char names[MEMBERS_MAX][32];
static uint16_t before[LARGE], after[LARGE];

static void name_members(unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		snprintf(names[i], sizeof(names[i]), "10.0.%u.%u:80", i / 250, i % 250 + 1);
		members[i] =
			(struct maglev_member){.name = names[i], .weight = 1, .user = &members[i]};
	}
}

/* Who has each slot, as indexes of members. */
static void build(unsigned int count, uint32_t size, uint16_t *slots)
{
	struct maglev *maglev;

	cr_assert_eq(maglev_new(members, count, size, &maglev), 0);
	for (uint32_t i = 0; i < size; i++)
		slots[i] = (uint16_t)((struct maglev_member *)maglev_lookup(maglev, i) - members);
	maglev_free(maglev);
}

static void count_slots(uint32_t size, const uint16_t *slots, unsigned int *counts)
{
	for (uint32_t i = 0; i < size; i++)
		counts[slots[i]]++;
}

/* By turns: nobody has more than one slot more than another. */
Test(maglev_table, shares_are_even)
{
	static const unsigned int numbers[] = {1, 2, 3, 100, 1000};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		unsigned int counts[MEMBERS_MAX] = {0}, least = SMALL, most = 0;

		name_members(numbers[i]);
		build(numbers[i], SMALL, before);
		count_slots(SMALL, before, counts);
		for (unsigned int j = 0; j < numbers[i]; j++) {
			least = counts[j] < least ? counts[j] : least;
			most = counts[j] > most ? counts[j] : most;
		}
		fprintf(stderr, "%u members of %d slots: from %u to %u, max/min %.4f\n", numbers[i],
			SMALL, least, most, (double)most / least);
		cr_expect_leq(most - least, 1);
	}
}

Test(maglev_table, shares_are_in_proportion_to_weights)
{
	static const unsigned int weights[] = {1, 2, 3, 50, 100, 0};
	unsigned int counts[6] = {0};

	name_members(6);
	for (int i = 0; i < 6; i++)
		members[i].weight = weights[i];
	build(6, SMALL, before);
	count_slots(SMALL, before, counts);
	for (int i = 0; i < 6; i++) {
		double due = (double)SMALL * weights[i] / 156;

		cr_expect(counts[i] >= due - 2 && counts[i] <= due + 2, "%d: %u slots, due %g", i,
			  counts[i], due);
	}
}

/* Two proxies that know the same endpoints agree, in whatever order they know them. */
Test(maglev_table, the_order_of_members_does_not_matter)
{
	struct rng rng = seeded("maglev order");

	name_members(100);
	for (int i = 0; i < 100; i++)
		members[i].weight = 1 + i % 3;
	build(100, SMALL, before);
	for (unsigned int i = 99; i; i--) {
		unsigned int j = rng_range(&rng, 0, i);
		struct maglev_member member = members[i];

		members[i] = members[j];
		members[j] = member;
	}
	build(100, SMALL, after);
	for (uint32_t i = 0; i < SMALL; i++)
		cr_assert_eq(before[i], after[i], "slot %u", i);
}

/*
 * The paper's measurement (5.3): a share of the members is lost, chosen at random; of the slots
 * that belonged to others, how many percent have moved, in the mean.
 */
static double disruption(unsigned int count, unsigned int lost, uint32_t size, int rounds,
			 struct rng *rng)
{
	double sum = 0;

	name_members(count);
	build(count, size, before);
	for (int round = 0; round < rounds; round++) {
		unsigned int moved = 0, others = 0;

		for (unsigned int i = 0; i < count; i++)
			members[i].weight = 1;
		for (unsigned int i = 0; i < lost;) {
			struct maglev_member *member = &members[rng_range(rng, 0, count - 1)];

			i += member->weight == 1;
			member->weight = 0;
		}
		build(count, size, after);
		for (uint32_t i = 0; i < size; i++) {
			if (!members[before[i]].weight) {
				cr_assert(members[after[i]].weight, "slot %u is with a lost one",
					  i);
				continue;
			}
			others++;
			moved += before[i] != after[i];
		}
		sum += 100.0 * moved / others;
	}
	return sum / rounds;
}

Test(maglev_table, few_keys_move_when_members_are_lost)
{
	static const struct {
		unsigned int count;
		unsigned int lost;
		uint32_t size;
		int rounds;
		double paper; /* percent, read off its figure 12; 0: not in it */
		double bound;
	} cases[] = {
		{100, 1, SMALL, 30, 0, 1.5},     {100, 1, LARGE, 3, 0, 0.8},
		{1000, 1, SMALL, 30, 0.6, 1.0},  {1000, 1, LARGE, 3, 0.33, 0.6},
		{1000, 10, SMALL, 30, 2.3, 3.0}, {1000, 10, LARGE, 3, 0.58, 1.0},
	};
	struct rng rng = seeded("maglev disruption");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double moved = disruption(cases[i].count, cases[i].lost, cases[i].size,
					  cases[i].rounds, &rng);

		fprintf(stderr, "%u of %u lost, %u slots: %.2f %% of the others' move",
			cases[i].lost, cases[i].count, cases[i].size, moved);
		if (cases[i].paper > 0)
			fprintf(stderr, " (paper: %.2f)", cases[i].paper);
		fprintf(stderr, "\n");
		cr_expect_lt(moved, cases[i].bound);
	}
}

Test(maglev_table, nobody_or_too_many_is_an_error)
{
	static struct maglev_member many[MAGLEV_MEMBERS_MAX + 1];
	struct maglev *maglev = NULL;

	name_members(2);
	members[0].weight = members[1].weight = 0;
	cr_expect_eq(maglev_new(members, 0, SMALL, &maglev), -EINVAL);
	cr_expect_eq(maglev_new(members, 2, SMALL, &maglev), -EINVAL);
	cr_expect_eq(maglev_new(many, MAGLEV_MEMBERS_MAX + 1, SMALL, &maglev), -E2BIG);
	cr_expect_null(maglev);
	maglev_free(NULL);
}
