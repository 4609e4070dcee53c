/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H
/*
 * A histogram of nanoseconds with a resolution of 1/256: below 512 ns each value has its own
 * bucket, above that each power of two is cut into 256. Recording is a shift and an increment, so
 * that it can sit in the measured loop.
 */

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_MAX_NS  ((1ULL << 36) - 1)
#define HISTOGRAM_BUCKETS (28 * 256 + 256)

struct histogram {
	uint32_t count[HISTOGRAM_BUCKETS];
};

static inline size_t histogram_bucket(uint64_t ns)
{
	unsigned int shift;

	if (ns > HISTOGRAM_MAX_NS)
		ns = HISTOGRAM_MAX_NS;
	if (ns < 512)
		return ns;
	shift = 63 - (unsigned int)__builtin_clzll(ns) - 8;
	return shift * 256 + (ns >> shift);
}

/* The middle of the values that share a bucket. */
static inline double histogram_value(size_t bucket)
{
	unsigned int shift;

	if (bucket < 512)
		return (double)bucket;
	shift = (unsigned int)(bucket / 256 - 1);
	return (double)((bucket % 256 + 256) << shift) + (double)(1ULL << shift) / 2;
}

static inline void histogram_record(struct histogram *h, uint64_t ns)
{
	h->count[histogram_bucket(ns)]++;
}

static inline void histogram_merge(struct histogram *into, const struct histogram *from)
{
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->count[i] += from->count[i];
}

static inline uint64_t histogram_total(const struct histogram *h)
{
	uint64_t total = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += h->count[i];
	return total;
}

static inline double histogram_quantile(const struct histogram *h, double q)
{
	double rank = q * (double)histogram_total(h);
	uint64_t seen = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->count[i];
		if (seen && (double)seen >= rank)
			return histogram_value(i);
	}
	return 0;
}

#endif
