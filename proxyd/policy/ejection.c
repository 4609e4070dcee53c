// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/ejection.h"

/* Take back the doublings that the quiet time up to now has earned. */
static void decay(struct ejection *ejection, const struct config_ejection *config, uint64_t now_ms)
{
	uint64_t quiet = now_ms > ejection->quiet_since ? now_ms - ejection->quiet_since : 0;
	uint64_t earned = config->time ? quiet / config->time : UINT64_MAX;

	if (earned)
		ejection->quiet_since = now_ms;
	ejection->doublings =
		earned < ejection->doublings ? ejection->doublings - (uint32_t)earned : 0;
}

bool ejection_saw(struct ejection *ejection, const struct config_ejection *config,
		  enum endpoint_event event, uint64_t now_ms)
{
	uint32_t *row;

	switch (event) {
	case ENDPOINT_CONNECTED:
		ejection->connect_failures = 0;
		return false;
	case ENDPOINT_SERVED:
		ejection->resets = 0;
		return false;
	case ENDPOINT_CONNECT_FAILED:
		row = &ejection->connect_failures;
		break;
	case ENDPOINT_RESET_EARLY:
		row = &ejection->resets;
		break;
	default:
		return false;
	}
	/* Flows from before the ejection, and those of a panic, add nothing to it. */
	if (ejection->until_ms)
		return false;
	/* Long flows are served without a word: resets that are far apart are no row. */
	if (event == ENDPOINT_RESET_EARLY && now_ms > ejection->quiet_since + config->time)
		*row = 0;
	decay(ejection, config, now_ms);
	ejection->quiet_since = now_ms;
	if (*row < UINT32_MAX)
		(*row)++;
	return config->failures && *row >= config->failures;
}

static uint64_t longest_of(const struct config_ejection *config)
{
	return config->time_max > config->time ? config->time_max : config->time;
}

uint64_t ejection_begin(struct ejection *ejection, const struct config_ejection *config,
			uint64_t now_ms)
{
	uint64_t longest = longest_of(config);
	uint64_t duration;

	decay(ejection, config, now_ms);
	duration = ejection->doublings < 64 && config->time <= (longest >> ejection->doublings)
			   ? config->time << ejection->doublings
			   : longest;
	if (duration < longest)
		ejection->doublings++;
	ejection->until_ms = now_ms + duration;
	ejection->total++;
	return duration;
}

bool ejection_ends(struct ejection *ejection, uint64_t now_ms)
{
	if (!ejection->until_ms || now_ms < ejection->until_ms)
		return false;
	ejection->quiet_since = ejection->until_ms;
	ejection->until_ms = 0;
	return true;
}

void ejection_follow(struct ejection *ejection, const struct config_ejection *config,
		     uint64_t now_ms)
{
	uint64_t end = now_ms + (config->failures ? longest_of(config) : 0);

	if (ejection->until_ms > end)
		ejection->until_ms = end;
}

void ejection_clear(struct ejection *ejection, uint64_t now_ms)
{
	ejection->connect_failures = 0;
	ejection->resets = 0;
	if (ejection->until_ms)
		ejection->quiet_since = now_ms;
	ejection->until_ms = 0;
}
