// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/balance.h"

#include <xxhash.h>

#include "policy/cidr.h"

bool balance_was_tried(const struct upstream_request *request, const struct endpoint *endpoint)
{
	for (unsigned int i = 0; i < request->tried_count; i++)
		if (request->tried[i] == endpoint)
			return true;
	return false;
}

static bool is_takable(const struct upstream_request *request, const struct endpoint *endpoint)
{
	return endpoint_has_room(endpoint) && !balance_was_tried(request, endpoint);
}

/* Numbers that have nothing to do with each other, from one. */
static uint64_t derive(uint64_t number, uint64_t which)
{
	return XXH3_64bits_withSeed(&number, sizeof(number), which);
}

/* 0 to below, evenly to one part in 2^64. */
static uint64_t scale(uint64_t number, uint64_t below)
{
	return (uint64_t)(((unsigned __int128)number * below) >> 64);
}

/* The place in the tier in whose share a point below the total lies. */
static unsigned int place_of(const struct tier *tier, uint64_t point)
{
	unsigned int low = 0, high = tier->count - 1;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (tier->sums[middle] > point)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

/*
 * The endpoint to which a number leads, by shares; never `except`. The same number leads to the
 * same endpoint while the tier is the same and that one may be taken; where it may not, `number`
 * leads just as steadily to one of the others.
 */
static struct endpoint *pick_share(const struct tier *tier, const struct upstream_request *request,
				   uint64_t number, const struct endpoint *except)
{
	struct endpoint *picked;
	uint64_t total = 0, point;

	if (!tier->count)
		return NULL;
	picked = tier->endpoints[place_of(tier, scale(number, tier_total(tier)))];
	if (picked != except && is_takable(request, picked))
		return picked;
	for (unsigned int i = 0; i < tier->count; i++)
		if (tier->endpoints[i] != except && is_takable(request, tier->endpoints[i]))
			total += tier->endpoints[i]->share;
	if (!total)
		return NULL;
	point = scale(derive(number, 0), total);
	for (unsigned int i = 0; i < tier->count; i++) {
		picked = tier->endpoints[i];
		if (picked == except || !is_takable(request, picked))
			continue;
		if (point < picked->share)
			return picked;
		point -= picked->share;
	}
	return NULL;
}

/*
 * Smooth weighted round robin: each gets its share as credit, the one with the most pays the sum of
 * them. With equal shares they take turns.
 */
static struct endpoint *pick_round_robin(const struct tier *tier,
					 const struct upstream_request *request)
{
	struct endpoint *best = NULL;
	uint64_t total = 0;

	for (unsigned int i = 0; i < tier->count; i++) {
		struct endpoint *endpoint = tier->endpoints[i];

		if (!is_takable(request, endpoint))
			continue;
		endpoint->credit += (int64_t)endpoint->share;
		total += endpoint->share;
		if (!best || endpoint->credit > best->credit)
			best = endpoint;
	}
	if (best)
		best->credit -= (int64_t)total;
	return best;
}

/* Below 0: `a` has fewer flows for its share than `b`. Shares are far below 2^32, flows too. */
static int compare_load(const struct endpoint *a, const struct endpoint *b)
{
	uint64_t load_a = a->flows * b->share, load_b = b->flows * a->share;

	return load_a < load_b ? -1 : load_a > load_b;
}

/* Among those with the same load chance decides, by shares. */
static struct endpoint *pick_least_connections(const struct tier *tier,
					       const struct upstream_request *request)
{
	struct endpoint *best = NULL;
	uint64_t tied = 0, point;

	for (unsigned int i = 0; i < tier->count; i++) {
		struct endpoint *endpoint = tier->endpoints[i];
		int order;

		if (!is_takable(request, endpoint))
			continue;
		order = best ? compare_load(endpoint, best) : -1;
		if (order < 0) {
			best = endpoint;
			tied = 0;
		}
		if (order <= 0)
			tied += endpoint->share;
	}
	if (!best || tied == best->share)
		return best;
	point = scale(derive(request->random, 0), tied);
	for (unsigned int i = 0; i < tier->count; i++) {
		struct endpoint *endpoint = tier->endpoints[i];

		if (!is_takable(request, endpoint) || compare_load(endpoint, best))
			continue;
		if (point < endpoint->share)
			return endpoint;
		point -= endpoint->share;
	}
	return best;
}

static struct endpoint *pick_random_two(const struct tier *tier,
					const struct upstream_request *request)
{
	struct endpoint *first = pick_share(tier, request, derive(request->random, 1), NULL);
	struct endpoint *second;

	if (!first)
		return NULL;
	second = pick_share(tier, request, derive(request->random, 2), first);
	return second && compare_load(second, first) < 0 ? second : first;
}

static uint64_t source_key(const struct upstream_request *request)
{
	uint8_t bytes[16];

	cidr_address_bytes(request->source, bytes);
	return XXH3_64bits(bytes, sizeof(bytes));
}

static struct endpoint *pick_maglev(const struct tier *tier, const struct maglev *maglev,
				    const struct upstream_request *request)
{
	uint64_t key = source_key(request);

	if (maglev) {
		struct endpoint *endpoint = maglev_lookup(maglev, key);

		if (endpoint->tier == tier && is_takable(request, endpoint))
			return endpoint;
	}
	return pick_share(tier, request, key, NULL);
}

struct endpoint *balance_pick(enum balance balance, const struct tier *tier,
			      const struct maglev *maglev, const struct upstream_request *request)
{
	switch (balance) {
	case BALANCE_LEAST_CONNECTIONS:
		return pick_least_connections(tier, request);
	case BALANCE_RANDOM_TWO:
		return pick_random_two(tier, request);
	case BALANCE_SOURCE_HASH:
		return pick_share(tier, request, source_key(request), NULL);
	case BALANCE_MAGLEV:
		return pick_maglev(tier, maglev, request);
	case BALANCE_ROUND_ROBIN:
		break;
	}
	return pick_round_robin(tier, request);
}
