// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>

#include "policy/ejection.h"

static const struct config_ejection config = {
	.failures = 3,
	.time = 10000,
	.time_max = 65000,
};

static bool saw(struct ejection *ejection, enum endpoint_event event, uint64_t now_ms)
{
	return ejection_saw(ejection, &config, event, now_ms);
}

Test(ejection, failures_in_a_row_eject)
{
	struct ejection ejection = {0};

	for (int round = 0; round < 10; round++) {
		cr_assert_not(saw(&ejection, ENDPOINT_CONNECT_FAILED, 1));
		cr_assert_not(saw(&ejection, ENDPOINT_CONNECT_FAILED, 1));
		cr_assert_not(saw(&ejection, ENDPOINT_CONNECTED, 1));
	}
	cr_assert_not(saw(&ejection, ENDPOINT_CONNECT_FAILED, 1));
	cr_assert_not(saw(&ejection, ENDPOINT_CONNECT_FAILED, 1));
	cr_assert(saw(&ejection, ENDPOINT_CONNECT_FAILED, 1));
}

/* Every reset follows a connect that succeeded: only a flow that was served ends the row. */
Test(ejection, a_connect_does_not_excuse_resets)
{
	struct ejection ejection = {0};

	cr_assert_not(saw(&ejection, ENDPOINT_RESET_EARLY, 1));
	saw(&ejection, ENDPOINT_SERVED, 1);
	cr_assert_not(saw(&ejection, ENDPOINT_RESET_EARLY, 1));
	saw(&ejection, ENDPOINT_CONNECTED, 1);
	cr_assert_not(saw(&ejection, ENDPOINT_RESET_EARLY, 1));
	saw(&ejection, ENDPOINT_CONNECTED, 1);
	cr_assert(saw(&ejection, ENDPOINT_RESET_EARLY, 1));
}

Test(ejection, resets_far_apart_are_no_row)
{
	struct ejection ejection = {0};

	for (uint64_t i = 1; i < 100; i++)
		cr_assert_not(saw(&ejection, ENDPOINT_RESET_EARLY, i * 10001));
	/* Connects are: to try a dead endpoint now and then keeps a client waiting each time. */
	cr_assert_not(saw(&ejection, ENDPOINT_CONNECT_FAILED, 10000000));
	cr_assert_not(saw(&ejection, ENDPOINT_CONNECT_FAILED, 20000000));
	cr_assert(saw(&ejection, ENDPOINT_CONNECT_FAILED, 30000000));
}

Test(ejection, no_number_of_failures_never_ejects)
{
	const struct config_ejection never = {.time = 10000, .time_max = 10000};
	struct ejection ejection = {0};

	for (int i = 0; i < 1000; i++)
		cr_assert_not(ejection_saw(&ejection, &never, ENDPOINT_CONNECT_FAILED, 1));
}

Test(ejection, each_is_twice_as_long_up_to_the_longest)
{
	static const uint64_t durations[] = {10000, 20000, 40000, 65000, 65000, 65000};
	struct ejection ejection = {0};
	uint64_t now = 1;

	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		cr_assert_eq(ejection_begin(&ejection, &config, now), durations[i], "%zu", i);
		now += durations[i];
		cr_assert_not(ejection_ends(&ejection, now - 1));
		cr_assert(ejection_ends(&ejection, now));
		cr_assert_not(ejection_ends(&ejection, now));
	}
	cr_assert_eq(ejection.total, 6);
}

/* Nothing that happens during an ejection prolongs it; after it, the first failure is enough. */
Test(ejection, who_still_fails_is_ejected_at_once)
{
	struct ejection ejection = {0};

	for (int i = 0; i < 3; i++)
		saw(&ejection, ENDPOINT_CONNECT_FAILED, 1);
	ejection_begin(&ejection, &config, 1);
	for (int i = 0; i < 10; i++)
		cr_assert_not(saw(&ejection, ENDPOINT_CONNECT_FAILED, 5000));
	cr_assert(ejection_ends(&ejection, 10001));
	cr_assert(saw(&ejection, ENDPOINT_CONNECT_FAILED, 10002));
	cr_assert_eq(ejection_begin(&ejection, &config, 10002), 20000);
	cr_assert(ejection_ends(&ejection, 30002));
	saw(&ejection, ENDPOINT_CONNECTED, 30003);
	cr_assert_not(saw(&ejection, ENDPOINT_CONNECT_FAILED, 30004));
}

/* A doubling less for each `time` in which nothing failed. */
Test(ejection, quiet_time_takes_doublings_back)
{
	struct ejection ejection = {0};
	uint64_t now = 1;

	for (int i = 0; i < 3; i++) {
		now += ejection_begin(&ejection, &config, now);
		ejection_ends(&ejection, now);
	}
	cr_assert_eq(ejection.doublings, 3);
	/* A failure now and then is not quiet. */
	for (int i = 0; i < 10; i++) {
		now += 9000;
		saw(&ejection, ENDPOINT_CONNECT_FAILED, now);
		saw(&ejection, ENDPOINT_CONNECTED, now);
	}
	cr_assert_eq(ejection.doublings, 3);
	now += 25000;
	cr_assert_eq(ejection_begin(&ejection, &config, now), 20000);
	now += 20000;
	ejection_ends(&ejection, now);
	now += 1000000;
	cr_assert_eq(ejection_begin(&ejection, &config, now), 10000);
}

Test(ejection, clearing_ends_it)
{
	struct ejection ejection = {0};

	for (int i = 0; i < 3; i++)
		saw(&ejection, ENDPOINT_CONNECT_FAILED, 1);
	ejection_begin(&ejection, &config, 1);
	ejection_clear(&ejection, 2);
	cr_assert_eq(ejection.until_ms, 0);
	cr_assert_not(ejection_ends(&ejection, 100000));
	cr_assert_not(saw(&ejection, ENDPOINT_CONNECT_FAILED, 3));
}

Test(ejection, times_without_a_maximum_or_beyond_all_bounds)
{
	const struct config_ejection flat = {.failures = 1, .time = 500};
	const struct config_ejection endless = {
		.failures = 1, .time = UINT64_MAX / 8, .time_max = UINT64_MAX / 4};
	struct ejection ejection = {0};

	for (int i = 0; i < 100; i++)
		cr_assert_eq(ejection_begin(&ejection, &flat, 1), 500);
	ejection = (struct ejection){0};
	cr_assert_eq(ejection_begin(&ejection, &endless, 1), UINT64_MAX / 8);
	for (int i = 0; i < 100; i++)
		cr_assert_geq(ejection_begin(&ejection, &endless, 1), UINT64_MAX / 8);
}
