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

int pace_scan(struct direct_lane *lane, struct direct_counts *counts, struct pace *pace)
{
	uint64_t began = pace_clock_ms(CLOCK_THREAD_CPUTIME_ID);
	int err = direct_lane_scan(lane, counts, NULL, NULL);

	if (err && err != pace->err)
		log_error("cannot visit the sockets: %s", strerror(-err));
	if (!err && pace->err)
		log_notice("the sockets can be visited again");
	pace->err = err;
	pace->cpu_ms = pace_clock_ms(CLOCK_THREAD_CPUTIME_ID) - began;
	pace->restless = !err && counts->restless ? pace->restless + 1 : 0;
	return err;
}

uint64_t pace_until_next(const struct direct_settings *settings, const struct pace *pace)
{
	bool hurry = pace->restless && pace->restless <= RESTLESS_SCANS;
	uint64_t wait = settings->wanted.interval;
	uint64_t share = hurry ? RESTLESS_SHARE : SCAN_SHARE;

	if (hurry && wait > PACE_RESTLESS_MS)
		wait = PACE_RESTLESS_MS;
	return wait < pace->cpu_ms * share && !settings->eager ? pace->cpu_ms * share : wait;
}
