/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PACE_H
#define PROXYD_PACE_H

/* How often the sockets are visited, and what that may cost. */

#include <stdint.h>
#include <time.h>

#include "direct/lane.h"

/* Between two scans while sockets are on their way into the lane or out of it. */
#define PACE_RESTLESS_MS 10

uint64_t pace_clock_ms(clockid_t clock);

/*
 * direct_lane_scan() without a list; says what went wrong. `cpu_ms`: what it took of this thread's
 * time. Returns 0 or -errno.
 */
int pace_scan(struct direct_lane *lane, struct direct_counts *counts, uint64_t *cpu_ms);

/*
 * Milliseconds until the next one: after so many in a row that found restless sockets, the last of
 * which took `cpu_ms`.
 */
uint64_t pace_until_next(const struct direct_settings *settings, unsigned int restless_scans,
			 uint64_t cpu_ms);

#endif
