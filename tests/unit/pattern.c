// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <stdint.h>

#include "sidelane/pattern.h"

#define KIB 1024

/* A sample of skbs of `size`, `ns` apart, `turns` of them after some of the other direction. */
static int sample(struct sl_pattern *pattern, __u64 *bytes, __u64 *now, uint32_t size, uint32_t ns,
		  uint32_t turns)
{
	static __u32 opposite = UINT32_MAX - 3 * SL_SAMPLE;

	for (uint32_t skb = 0; skb < SL_SAMPLE; skb++) {
		/* Spread over the sample. */
		if (skb * turns / SL_SAMPLE != (skb + 1) * turns / SL_SAMPLE)
			opposite += 3;
		sl_pattern_skb(pattern, opposite);
	}
	*bytes += (__u64)SL_SAMPLE * size;
	*now += (__u64)SL_SAMPLE * ns;
	return sl_pattern_sample(pattern, *bytes, *now);
}

/* Samples until the direction is called a stream of small writes, 0 for never. */
static int samples(uint32_t size, uint32_t ns, uint32_t turns)
{
	/* As it is after a pause, or at first. */
	struct sl_pattern pattern = {0};
	__u64 bytes = 0, now = 1000000000ULL * 3600;

	for (int i = 1; i <= 1000; i++)
		if (sample(&pattern, &bytes, &now, size, ns, turns))
			return i;
	return 0;
}

Test(pattern, knows_a_stream_of_small_writes)
{
	/* The first sample began at the epoch: it is long. */
	cr_expect_eq(samples(4 * KIB, 2000, 0), 1 + SL_SAMPLES_SMALL);
	cr_expect_eq(samples(1, SL_STREAM_NS - 1, 0), 1 + SL_SAMPLES_SMALL);
	cr_expect_eq(samples(SL_SMALL_SKB - 1, 2000, SL_SAMPLE / 4), 1 + SL_SAMPLES_SMALL,
		     "bursts of four");
	/* So fast that it is one in each direction. */
	cr_expect_eq(samples(4 * KIB, SL_DUPLEX_NS - 1, SL_SAMPLE), 1 + SL_SAMPLES_SMALL);
}

Test(pattern, leaves_everything_else_in_the_lane)
{
	cr_expect_eq(samples(SL_SMALL_SKB, 100, 0), 0, "bulk");
	cr_expect_eq(samples(64 * KIB, 20000, 0), 0, "bulk");
	cr_expect_eq(samples(64, 30000, SL_SAMPLE), 0, "a dialogue");
	cr_expect_eq(samples(64, SL_DUPLEX_NS, SL_SAMPLE), 0, "a fast dialogue");
	cr_expect_eq(samples(64, 10000, SL_SAMPLE / 2), 0, "two writes a turn");
	cr_expect_eq(samples(100, SL_STREAM_NS, 0), 0, "slow: proxyd would wake up for each");
}

Test(pattern, one_sample_is_not_enough)
{
	struct sl_pattern pattern = {0};
	__u64 bytes = 0, now = 1;

	for (int i = 0; i < 100; i++) {
		/* One small and fast, one large. */
		cr_assert_not(sample(&pattern, &bytes, &now, 100, 1000, 0));
		cr_assert_not(sample(&pattern, &bytes, &now, 64 * KIB, 1000, 0));
	}
}
