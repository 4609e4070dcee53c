/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_RETRY_BUDGET_H
#define PROXYD_RETRY_BUDGET_H

/*
 * Retries are bounded by a share of what is asked for, so that an upstream in trouble does not get
 * a multiple of its load. Counting, not tokens: connects and retries of the last one to two
 * seconds. The caller has the lock.
 */

#include <stdbool.h>
#include <stdint.h>

#define RETRY_BUDGET_WINDOW_MS 1000

struct retry_budget {
	uint64_t window;      /* number of the current window since the clock's zero */
	uint64_t connects[2]; /* [0] in the current window, [1] in the one before */
	uint64_t retries[2];
	uint64_t refused; /* ever */
};

/* A flow's first connect begins. */
void retry_budget_connect(struct retry_budget *budget, uint64_t now_ms);

/*
 * Whether one more retry leaves the retries of the current and the last window at or under the
 * greater of `least` and `percent` of their connects; it is counted if so.
 */
bool retry_budget_take(struct retry_budget *budget, uint32_t percent, uint32_t least,
		       uint64_t now_ms);

#endif
