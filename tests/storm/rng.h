#pragma once

#include <stdint.h>

/* splitmix64: a counter stepped by GOLDEN, then scrambled by a bijection. */
#define GOLDEN         0x9e3779b97f4a7c15ULL
#define GOLDEN_INVERSE 0xf1de83e19937733dULL

static inline uint64_t mix64(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* The inverse of mix64: from eight bytes of a stream back to where they come from. */
static inline uint64_t unmix64(uint64_t x)
{
	x = (x ^ (x >> 31) ^ (x >> 62)) * 0x319642b2d24d8ec3ULL;
	x = (x ^ (x >> 27) ^ (x >> 54)) * 0x96de1b173f119089ULL;
	return x ^ (x >> 30) ^ (x >> 60);
}

struct rng {
	uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
	r->state += GOLDEN;
	return mix64(r->state);
}

/* lo..hi, both inclusive. */
static inline uint32_t rng_range(struct rng *r, uint32_t lo, uint32_t hi)
{
	return lo + (uint32_t)(rng_next(r) % ((uint64_t)hi - lo + 1));
}

static inline int rng_percent(struct rng *r, unsigned int percent)
{
	return rng_range(r, 0, 99) < percent;
}

/* lo..hi with every order of magnitude equally likely: most are small, a few are large. */
static inline uint32_t rng_log(struct rng *r, uint32_t lo, uint32_t hi)
{
	unsigned int low_bit = 31 - (unsigned int)__builtin_clz(lo | 1);
	unsigned int high_bit = 31 - (unsigned int)__builtin_clz(hi | 1);
	unsigned int bit = rng_range(r, low_bit, high_bit);
	uint32_t base = 1u << bit;
	uint32_t n = base + (uint32_t)(rng_next(r) % base);

	return n < lo ? lo : n > hi ? hi : n;
}
