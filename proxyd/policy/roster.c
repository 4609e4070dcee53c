// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/roster.h"

#include <errno.h>
#include <stdlib.h>

/* While a slow start is under way shares are worked out anew this often, at most. */
#define RAMP_STEP_MS 10

/* The primaries, [0], and the backups, [1], that the operator wants; how many of them are usable.
 */
struct census {
	unsigned int wanted[2];
	unsigned int usable[2];
};

static int tier_reserve(struct tier *tier, unsigned int room)
{
	struct endpoint **endpoints = calloc(room, sizeof(struct endpoint *));
	uint64_t *sums = calloc(room, sizeof(*sums));

	if (!endpoints || !sums) {
		free(endpoints);
		free(sums);
		return -ENOMEM;
	}
	for (unsigned int i = 0; i < tier->count; i++) {
		endpoints[i] = tier->endpoints[i];
		sums[i] = tier->sums[i];
	}
	free(tier->endpoints);
	free(tier->sums);
	tier->endpoints = endpoints;
	tier->sums = sums;
	return 0;
}

int roster_reserve(struct roster *roster, unsigned int members)
{
	int err;

	if (members <= roster->room)
		return 0;
	err = tier_reserve(&roster->serving, members);
	if (!err)
		err = tier_reserve(&roster->reserve, members);
	if (!err)
		roster->room = members;
	return err;
}

void roster_free(struct roster *roster)
{
	free(roster->serving.endpoints);
	free(roster->serving.sums);
	free(roster->reserve.endpoints);
	free(roster->reserve.sums);
	*roster = (struct roster){0};
}

static void due(struct roster *roster, uint64_t at_ms)
{
	if (at_ms < roster->due_ms)
		roster->due_ms = at_ms;
}

/* What time has done to an endpoint: ejections end, slow starts begin and end. */
static void settle(struct roster *roster, struct endpoint *endpoint,
		   const struct roster_rules *rules, uint64_t now_ms, struct news *news)
{
	bool usable;

	if (ejection_ends(&endpoint->ejection, now_ms))
		news_add(news, LOG_LEVEL_NOTICE, "upstream %s: %s is back from its ejection",
			 rules->upstream, endpoint->name);
	if (endpoint->ejection.until_ms)
		due(roster, endpoint->ejection.until_ms);
	usable = endpoint_is_wanted(endpoint) && !endpoint->down && !endpoint->ejection.until_ms;
	if (usable && !endpoint->usable && rules->slow_start)
		endpoint->ramp_from = now_ms ? now_ms : 1;
	/* Workers' clocks differ: the ramp may have begun later than now, also after a reload that
	 * took slow_start away. */
	if (!usable || !rules->slow_start || now_ms >= endpoint->ramp_from + rules->slow_start)
		endpoint->ramp_from = 0;
	if (endpoint->ramp_from)
		due(roster, now_ms + rules->slow_start / ENDPOINT_SHARE + RAMP_STEP_MS);
	endpoint->usable = usable;
}

static uint64_t share(const struct endpoint *endpoint, const struct roster_rules *rules,
		      uint64_t now_ms)
{
	uint64_t steps = ENDPOINT_SHARE;

	if (endpoint->ramp_from) {
		uint64_t elapsed = now_ms > endpoint->ramp_from ? now_ms - endpoint->ramp_from : 0;

		steps = 1 + elapsed * (ENDPOINT_SHARE - 1) / rules->slow_start;
	}
	return endpoint_weight(endpoint) * steps;
}

static bool enough(const struct census *census, int tier, const struct roster_rules *rules)
{
	return (uint64_t)census->usable[tier] * 100 >=
	       (uint64_t)census->wanted[tier] * rules->panic_percent;
}

static enum serving who_serves(const struct roster *roster, const struct census *census,
			       const struct roster_rules *rules)
{
	if (census->usable[0])
		return enough(census, 0, rules) ? SERVING_PRIMARIES : SERVING_PANIC;
	if (census->usable[1])
		return enough(census, 1, rules) ? SERVING_BACKUPS : SERVING_PANIC;
	if (rules->panic_percent && (census->wanted[0] || census->wanted[1]))
		return SERVING_PANIC;
	return roster->state == SERVING_NOTHING_YET ? SERVING_NOTHING_YET : SERVING_NONE;
}

/* Whether an endpoint belongs to the serving tier. */
static bool serves(const struct endpoint *endpoint, enum serving state, const struct census *census)
{
	switch (state) {
	case SERVING_PRIMARIES:
		return endpoint->usable && !endpoint->backup;
	case SERVING_BACKUPS:
		return endpoint->usable && endpoint->backup;
	case SERVING_PANIC:
		/* Of the tier that has somebody usable; without anybody usable, of both. */
		return endpoint_is_wanted(endpoint) &&
		       (!census->usable[0] ? endpoint->backup || !census->usable[1]
					   : !endpoint->backup);
	case SERVING_NOTHING_YET:
	case SERVING_NONE:
		break;
	}
	return false;
}

/* Returns whether that is other than what was there. */
static bool tier_add(struct tier *tier, struct endpoint *endpoint, uint64_t share)
{
	unsigned int place = tier->count++;
	bool changed = tier->endpoints[place] != endpoint || endpoint->tier != tier ||
		       endpoint->share != share;

	tier->endpoints[place] = endpoint;
	tier->sums[place] = (place ? tier->sums[place - 1] : 0) + share;
	endpoint->tier = tier;
	endpoint->share = share;
	return changed;
}

static void fill(struct roster *roster, const struct members *members,
		 const struct roster_rules *rules, const struct census *census, uint64_t now_ms)
{
	unsigned int before = roster->serving.count;
	bool changed = false;

	roster->serving.count = 0;
	roster->reserve.count = 0;
	for (unsigned int i = 0; i < members->count; i++) {
		struct endpoint *endpoint = members->items[i];

		if (serves(endpoint, roster->state, census)) {
			/* In a panic slow start would only protect the few that are well. */
			changed |= tier_add(&roster->serving, endpoint,
					    roster->state == SERVING_PANIC
						    ? endpoint_weight(endpoint) * ENDPOINT_SHARE
						    : share(endpoint, rules, now_ms));
		} else if (endpoint->usable && endpoint->backup) {
			tier_add(&roster->reserve, endpoint, share(endpoint, rules, now_ms));
		} else {
			endpoint->tier = NULL;
			endpoint->share = 0;
		}
	}
	if (changed || before != roster->serving.count)
		roster->generation++;
}

static void announce(const struct roster_rules *rules, enum serving before, enum serving now,
		     const struct census *census, struct news *news)
{
	unsigned int usable = census->usable[0] + census->usable[1];
	unsigned int wanted = census->wanted[0] + census->wanted[1];
	const char *over = before == SERVING_PANIC ? "the panic is over: " : "";
	const char *name = rules->upstream;

	if (before == now)
		return;
	switch (now) {
	case SERVING_NOTHING_YET:
		break;
	case SERVING_PRIMARIES:
		if (before != SERVING_NOTHING_YET)
			news_add(news, LOG_LEVEL_NOTICE,
				 "upstream %s: %s%u of %u endpoints are usable", name, over, usable,
				 wanted);
		break;
	case SERVING_BACKUPS:
		news_add(news, LOG_LEVEL_WARNING,
			 "upstream %s: %sno endpoint but backups is usable, these serve", name,
			 over);
		break;
	case SERVING_PANIC:
		news_add(news, LOG_LEVEL_WARNING,
			 "upstream %s: panic: only %u of %u endpoints are usable, all are used",
			 name, usable, wanted);
		break;
	case SERVING_NONE:
		news_add(news, LOG_LEVEL_WARNING, "upstream %s: %sno endpoint is usable", name,
			 over);
		break;
	}
}

bool roster_refresh(struct roster *roster, const struct members *members,
		    const struct roster_rules *rules, uint64_t now_ms, struct news *news)
{
	struct census census = {0};
	enum serving before = roster->state;

	if (!roster->stale && now_ms < roster->due_ms)
		return false;
	roster->stale = false;
	roster->due_ms = UINT64_MAX;
	for (unsigned int i = 0; i < members->count; i++) {
		struct endpoint *endpoint = members->items[i];

		settle(roster, endpoint, rules, now_ms, news);
		census.wanted[endpoint->backup] += endpoint_is_wanted(endpoint);
		census.usable[endpoint->backup] += endpoint->usable;
	}
	roster->state = who_serves(roster, &census, rules);
	fill(roster, members, rules, &census, now_ms);
	announce(rules, before, roster->state, &census, news);
	return true;
}

bool roster_may_lose(const struct members *members, const struct roster_rules *rules,
		     const struct endpoint *endpoint)
{
	unsigned int wanted = 0, usable = 0;

	for (unsigned int i = 0; i < members->count; i++) {
		const struct endpoint *other = members->items[i];

		wanted += other != endpoint && endpoint_is_wanted(other);
		usable += other != endpoint && other->usable;
	}
	return endpoint->usable && (rules->panic_percent ? wanted : usable);
}
