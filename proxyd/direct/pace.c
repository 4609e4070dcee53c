// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "direct/pace.h"

#include <string.h>

#include "log.h"

/* Scans take at most a fiftieth of a core, however many sockets there are. */
#define SCAN_SHARE 50

/* While sockets are on their way they come sooner, for so many scans, */
#define RESTLESS_SCANS 20
/* and take up to a fifth. */
#define RESTLESS_SHARE 5

uint64_t pace_clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int pace_scan(struct direct_lane *lane, struct direct_counts *counts, uint64_t *cpu_ms)
{
	uint64_t began = pace_clock_ms(CLOCK_THREAD_CPUTIME_ID);
	int err = direct_lane_scan(lane, counts, NULL, NULL);

	if (err)
		log_error("cannot visit the sockets: %s", strerror(-err));
	*cpu_ms = pace_clock_ms(CLOCK_THREAD_CPUTIME_ID) - began;
	return err;
}

uint64_t pace_until_next(const struct direct_settings *settings, unsigned int restless_scans,
			 uint64_t cpu_ms)
{
	bool hurry = restless_scans && restless_scans <= RESTLESS_SCANS;
	uint64_t wait = settings->wanted.interval;
	uint64_t share = hurry ? RESTLESS_SHARE : SCAN_SHARE;

	if (hurry && wait > PACE_RESTLESS_MS)
		wait = PACE_RESTLESS_MS;
	return wait < cpu_ms * share && !settings->eager ? cpu_ms * share : wait;
}
