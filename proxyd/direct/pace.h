/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PACE_H
#define PROXYD_PACE_H

/* How often the sockets are visited, and what that may cost. */

#include <stdint.h>
#include <time.h>

#include "direct/lane.h"

/* Between two scans while sockets are on their way into the lane or out of it. */
#define PACE_RESTLESS_MS 10

/* What the scans up to now were like. Zeros are fine. */
struct pace {
	unsigned int restless; /* those in a row that found restless sockets */
	uint64_t cpu_ms;       /* what the last one took of this thread's time */
	int err;               /* of the last one */
};

uint64_t pace_clock_ms(clockid_t clock);

/*
 * direct_lane_scan() without a list; says what went wrong, and when that is over. Returns 0 or
 * -errno; without descriptors or memory for it the next one may do.
 */
int pace_scan(struct direct_lane *lane, struct direct_counts *counts, struct pace *pace);

/* Milliseconds until the next one. */
uint64_t pace_until_next(const struct direct_settings *settings, const struct pace *pace);

#endif
