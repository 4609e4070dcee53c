#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "storm/rng.h"

/* A generator for one test: SEED=N in the environment repeats what a failed run printed. */
static inline struct rng seeded(const char *test)
{
	const char *given = getenv("SEED");
	struct timespec now;
	struct rng rng;

	clock_gettime(CLOCK_REALTIME, &now);
	rng.state = given ? strtoull(given, NULL, 10)
			  : mix64((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec) >> 32;
	fprintf(stderr, "%s: SEED=%llu\n", test, (unsigned long long)rng.state);
	return rng;
}
