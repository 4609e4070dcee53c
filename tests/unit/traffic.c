// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>

#include "flow/traffic.h"

#define KIB 1024

/* Request and response: returns after how many round trips it counts as a dialogue, 0 for never. */
static int round_trips(struct traffic *traffic, uint32_t request, int requests, uint32_t response,
		       int responses)
{
	for (int round = 1; round <= 1000; round++) {
		bool dialogue = false;

		for (int i = 0; i < requests; i++)
			dialogue |= traffic_saw(traffic, 0, request);
		for (int i = 0; i < responses; i++)
			dialogue |= traffic_saw(traffic, 1, response);
		if (dialogue)
			return round;
	}
	return 0;
}

Test(traffic, request_and_response_is_a_dialogue)
{
	static const struct {
		uint32_t request;
		int requests;
		uint32_t response;
		int responses;
	} cases[] = {
		{1, 1, 1, 1},         {64, 1, 64, 1},           {64, 1, 16 * KIB, 1},
		{100, 3, 4 * KIB, 5}, {100, 8, 100, 8},         {1, 1, 64 * KIB, 1},
		{64 * KIB, 1, 1, 1},  {8 * KIB, 8, 8 * KIB, 8},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct traffic traffic = {0};
		int round = round_trips(&traffic, cases[i].request, cases[i].requests,
					cases[i].response, cases[i].responses);

		/* About a dozen, so that what enrolment costs was about earned. */
		cr_expect(round >= 8 && round <= 24, "case %zu: after %d", i, round);
	}
}

Test(traffic, a_stream_is_no_dialogue)
{
	struct traffic traffic = {0};

	for (int i = 0; i < 10000; i++)
		cr_assert_not(traffic_saw(&traffic, 1, 64 * KIB), "after %d reads", i);
	for (int i = 0; i < 10000; i++)
		cr_assert_not(traffic_saw(&traffic, 0, 100), "after %d small reads", i);
}

/* Downloads, uploads, and rows of small writes that are answered: each has a run that is long. */
Test(traffic, long_runs_between_turns_are_no_dialogue)
{
	static const struct {
		uint32_t request;
		int requests;
		uint32_t response;
		int responses;
	} cases[] = {
		{100, 1, 64 * KIB, 2}, {100, 1, 100, 9},        {100, 9, 1, 1},
		{64 * KIB, 16, 1, 1},  {100, 1, UINT32_MAX, 3}, /* the count of bytes must not wrap
								 */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct traffic traffic = {0};

		cr_expect_eq(round_trips(&traffic, cases[i].request, cases[i].requests,
					 cases[i].response, cases[i].responses),
			     0, "case %zu", i);
	}
}

Test(traffic, one_stream_takes_a_dialogue_back)
{
	struct traffic traffic = {0};

	cr_assert(round_trips(&traffic, 64, 1, 64, 1));
	cr_assert(traffic_saw(&traffic, 0, 64));
	for (int i = 0; i < 10; i++)
		traffic_saw(&traffic, 1, 64 * KIB);
	cr_assert_not(traffic_saw(&traffic, 0, 64));
	cr_assert_geq(round_trips(&traffic, 64, 1, 64, 1), 8);
}

Test(traffic, waits_twice_as_long_after_each_retreat)
{
	struct traffic traffic = {0};
	uint64_t now = 5000, wait, before = 0;

	cr_assert(traffic_may_advance(&traffic, 0));
	for (int retreat = 0; retreat < 9; retreat++) {
		traffic_retreat(&traffic, now);
		for (wait = 0; !traffic_may_advance(&traffic, now + wait); wait += 250)
			cr_assert_lt(wait, 1000000);
		if (before)
			cr_assert_eq(wait, 2 * before, "retreat %d: %lu ms", retreat, wait);
		else
			cr_assert_eq(wait, 1000);
		before = wait;
		now += wait;
	}
	/* A flow that lives for days may retreat any number of times. */
	for (int retreat = 0; retreat < 1000; retreat++) {
		traffic_retreat(&traffic, now);
		cr_assert_not(traffic_may_advance(&traffic, now + before - 1));
		cr_assert(traffic_may_advance(&traffic, now + before));
	}
}

Test(traffic, must_be_a_dialogue_anew_after_a_retreat)
{
	struct traffic traffic = {0};

	cr_assert(round_trips(&traffic, 64, 1, 64, 1));
	traffic_retreat(&traffic, 0);
	cr_assert_geq(round_trips(&traffic, 64, 1, 64, 1), 8);
}

Test(traffic, a_stream_is_many_reads_or_much_in_a_row)
{
	struct traffic traffic = {0};

	for (int i = 0; i < 8; i++)
		traffic_saw(&traffic, 1, 100);
	cr_expect_not(traffic_streams(&traffic));
	traffic_saw(&traffic, 1, 100);
	cr_expect(traffic_streams(&traffic));
	traffic_saw(&traffic, 0, 100);
	cr_expect_not(traffic_streams(&traffic), "the other direction has a turn");
	traffic_saw(&traffic, 0, 64 * 1024);
	cr_expect(traffic_streams(&traffic));
}

/* A dialogue seen since half way, `turns` in all, of so many segments and bytes since then. */
static bool bursts(uint16_t turns, uint32_t segments, uint64_t bytes, uint32_t segment)
{
	const struct traffic traffic = {.turns = turns, .half_way = {1000, UINT32_MAX - 5}};
	const struct traffic_count now = {1000 + bytes, UINT32_MAX - 5 + segments};

	return traffic_bursts(&traffic, &now, segment);
}

Test(traffic, bursts_of_small_segments_are_told_from_whole_messages)
{
	cr_expect_not(bursts(24, 12, 12 * 64, 536), "a segment a turn");
	cr_expect_not(bursts(24, 24, 24 * 64, 536), "two");
	cr_expect(bursts(24, 12 * 4, 12 * 4 * 64, 536), "four writes a turn");
	cr_expect(bursts(24, 6 + 6 * 17, 23 * 6 * 64, 1448), "a long one, a short one");
	cr_expect_not(bursts(24, 6 + 6 * 12, 6 * 16 * 1024, 1448),
		      "a large response, full segments");
	cr_expect_not(bursts(24, 24, 24, 0), "no size known");
	cr_expect_not(bursts(UINT16_MAX, 65000, 65000, 536), "for a long time");
}

Test(traffic, half_way_is_one_read)
{
	struct traffic traffic = {0};
	int times = 0;

	for (int round = 0; round < 100; round++)
		for (int d = 0; d < 2; d++)
			for (int i = 0; i < 3; i++) {
				traffic_saw(&traffic, d, 100);
				times += traffic_half_way(&traffic);
			}
	cr_expect_eq(times, 1);
}

static bool crowded_after(uint32_t *crowd, int turns, unsigned int events)
{
	while (turns--)
		traffic_turn(crowd, events);
	return traffic_is_crowded(*crowd);
}

Test(traffic, many_events_at_once_are_a_crowd_until_they_are_few)
{
	uint32_t crowd = 0;

	cr_expect_not(crowded_after(&crowd, 100000, 1), "one after the other");
	cr_expect_not(crowded_after(&crowd, 1, 16), "for a moment");
	cr_expect(crowded_after(&crowd, 100, 3), "three");
	cr_expect(crowded_after(&crowd, 100, 16), "sixteen");
	cr_expect(crowded_after(&crowd, 100000, 1000), "a thousand");
	cr_expect(crowded_after(&crowd, 1, 1), "one in between");
	cr_expect_not(crowded_after(&crowd, 200, 1), "gone");
	cr_expect_not(crowded_after(&crowd, 100, 0), "none at all");
}
