/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_EJECTION_H
#define PROXYD_EJECTION_H

/*
 * Passive health of one endpoint: failures in a row lead to an ejection, each ejection is twice as
 * long as the one before. Arithmetic only; the caller has the lock.
 */

#include <stdbool.h>
#include <stdint.h>

#include "policy/upstream.h"

struct ejection {
	/*
	 * In a row. Two counters, because a connect that succeeds says nothing about resets: these
	 * come after a success. An ejection leaves them as they are, so that the first failure
	 * after it ejects again and a success clears them. Resets further apart than `time` are no
	 * row: to eject for that long would not spare one.
	 */
	uint32_t connect_failures;
	uint32_t resets;
	uint32_t doublings;   /* of the next ejection */
	uint64_t until_ms;    /* 0: not ejected */
	uint64_t quiet_since; /* ms: the last failure, or the end of the last ejection */
	uint64_t total;       /* ejections, ever */
};

/* Count an event. Returns whether the endpoint should be ejected now. */
bool ejection_saw(struct ejection *ejection, const struct config_ejection *config,
		  enum endpoint_event event, uint64_t now_ms);

/*
 * Eject. Each `config->time` without a failure before now has taken one doubling back. Returns for
 * how many milliseconds: time * 2^doublings, at most time_max.
 */
uint64_t ejection_begin(struct ejection *ejection, const struct config_ejection *config,
			uint64_t now_ms);

/* Returns whether an ejection was under way that is over now; it is ended. */
bool ejection_ends(struct ejection *ejection, uint64_t now_ms);

/* Another config: an ejection that is under way takes no longer than one may take now. */
void ejection_follow(struct ejection *ejection, const struct config_ejection *config,
		     uint64_t now_ms);

/* The endpoint was proved well by other means: end an ejection and forget the failures. */
void ejection_clear(struct ejection *ejection, uint64_t now_ms);

#endif
