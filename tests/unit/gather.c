// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/gather.h"

#include <criterion/criterion.h>

#define MS 1000

static bool pays(uint32_t size, uint64_t segments_per_ms, uint32_t round_trip_us)
{
	const struct gather_sample sample = {
		.bytes = segments_per_ms * 7 * size,
		.us = 7 * MS,
		.segments = (uint32_t)segments_per_ms * 7,
		.round_trip_us = round_trip_us,
	};

	return gather_pays(&sample);
}

Test(gather, pays_for_fast_streams_of_small_segments_from_nearby)
{
	cr_expect(pays(64, 400, 10));
	cr_expect(pays(4096, 100, 0));
	cr_expect(pays(4096, 250, 500));
	cr_expect_not(pays(4096, 99, 10), "slow: its bytes would only be late");
	cr_expect_not(pays(16384, 150, 10), "large writes");
	cr_expect_not(pays(65483, 30, 10), "large writes");
	cr_expect_not(pays(1448, 400, 501), "from afar");
}

Test(gather, does_not_pay_without_a_segment)
{
	cr_expect_not(gather_pays(&(struct gather_sample){0}));
	cr_expect_not(gather_pays(&(struct gather_sample){.us = 7}));
}
