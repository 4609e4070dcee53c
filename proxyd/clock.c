// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "clock.h"

#include <event2/util.h>
#include <sys/time.h>
#include <time.h>

uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void clock_arm(struct event *timer, uint64_t milliseconds)
{
	const struct timeval wait = {
		.tv_sec = (time_t)(milliseconds / 1000),
		.tv_usec = (suseconds_t)(milliseconds % 1000 * 1000),
	};

	evtimer_add(timer, &wait);
}

uint64_t clock_spread(uint64_t most)
{
	uint64_t number;

	evutil_secure_rng_get_bytes(&number, sizeof(number));
	return most == UINT64_MAX ? number : number % (most + 1);
}
