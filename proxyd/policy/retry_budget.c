// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/retry_budget.h"

static void turn(struct retry_budget *budget, uint64_t now_ms)
{
	uint64_t window = now_ms / RETRY_BUDGET_WINDOW_MS;
	bool next = window == budget->window + 1;

	/* A clock that was read before another thread's lies in the past by a moment. */
	if (window <= budget->window)
		return;
	budget->connects[1] = next ? budget->connects[0] : 0;
	budget->retries[1] = next ? budget->retries[0] : 0;
	budget->connects[0] = 0;
	budget->retries[0] = 0;
	budget->window = window;
}

void retry_budget_connect(struct retry_budget *budget, uint64_t now_ms)
{
	turn(budget, now_ms);
	budget->connects[0]++;
}

bool retry_budget_take(struct retry_budget *budget, uint32_t percent, uint32_t least,
		       uint64_t now_ms)
{
	uint64_t share;

	turn(budget, now_ms);
	share = (budget->connects[0] + budget->connects[1]) * percent / 100;
	if (budget->retries[0] + budget->retries[1] >= (share > least ? share : least)) {
		budget->refused++;
		return false;
	}
	budget->retries[0]++;
	return true;
}
