// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/members.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/cidr.h"

static int compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static uint32_t zone_of(const struct address *address)
{
	return address->any.sa_family == AF_INET6 ? address->ipv6.sin6_scope_id : 0;
}

/* 0 for the same server, be it that one is the other mapped into IPv6, as address_equal() has it.
 */
static int compare_addresses(const struct address *a, const struct address *b)
{
	uint8_t bytes[2][16];
	int order;

	cidr_address_bytes(a, bytes[0]);
	cidr_address_bytes(b, bytes[1]);
	order = memcmp(bytes[0], bytes[1], sizeof(bytes[0]));
	if (!order)
		order = compare_numbers(zone_of(a), zone_of(b));
	/* The port has the same place in both kinds. */
	return order ? order : compare_numbers(a->ipv4.sin_port, b->ipv4.sin_port);
}

static uint32_t weight_of(const struct wish *wish)
{
	return wish->resolved->weight ? wish->resolved->weight : wish->entry->weight;
}

static bool is_backup(const struct wish *wish)
{
	return wish->resolved->backup || wish->entry->backup;
}

/* By address; of the wishes for one address the one that counts comes first. */
static int compare_wishes(const void *left, const void *right)
{
	const struct wish *a = left, *b = right;
	int order = compare_addresses(&a->resolved->address, &b->resolved->address);

	if (!order)
		order = compare_numbers(is_backup(a), is_backup(b));
	if (!order)
		order = compare_numbers(weight_of(b), weight_of(a));
	return order ? order : compare_numbers(a->position, b->position);
}

static int compare_positions(const void *left, const void *right)
{
	const struct wish *a = left, *b = right;

	return compare_numbers(a->position, b->position);
}

static int compare_endpoints(const void *left, const void *right)
{
	const struct endpoint *const *a = left, *const *b = right;

	return compare_addresses(&(*a)->address, &(*b)->address);
}

static int compare_to_endpoint(const void *key, const void *item)
{
	const struct endpoint *const *endpoint = item;

	return compare_addresses(key, &(*endpoint)->address);
}

/* All that the entries ask for, one wish an address, by address. */
static void make_wishes(const struct entries *entries, struct members_plan *plan)
{
	unsigned int count = 0, kept = 0;

	for (unsigned int i = 0; i < entries->count; i++)
		for (unsigned int j = 0; j < entries->items[i].count; j++) {
			plan->wishes[count] = (struct wish){
				.entry = &entries->items[i],
				.resolved = &entries->items[i].addresses[j],
				.position = count,
			};
			count++;
		}
	qsort(plan->wishes, count, sizeof(*plan->wishes), compare_wishes);
	for (unsigned int i = 0; i < count; i++)
		if (!kept || compare_addresses(&plan->wishes[kept - 1].resolved->address,
					       &plan->wishes[i].resolved->address))
			plan->wishes[kept++] = plan->wishes[i];
	plan->count = kept;
}

/* An endpoint for each wish: the one with its address, or a new one. */
static int grant_wishes(struct upstream *upstream, const struct members *members,
			struct members_plan *plan)
{
	struct endpoint **sorted = plan->items;
	int err = 0;

	if (members->count)
		memcpy(sorted, members->items, members->count * sizeof(struct endpoint *));
	qsort(sorted, members->count, sizeof(struct endpoint *), compare_endpoints);
	for (unsigned int i = 0; !err && i < plan->count; i++) {
		struct wish *wish = &plan->wishes[i];
		struct endpoint **found = bsearch(&wish->resolved->address, sorted, members->count,
						  sizeof(struct endpoint *), compare_to_endpoint);

		if (found)
			wish->endpoint = endpoint_hold(*found);
		else
			err = endpoint_new(upstream, &wish->resolved->address, &wish->endpoint);
	}
	return err;
}

int members_plan(struct upstream *upstream, const struct members *members,
		 const struct entries *entries, struct members_plan *out)
{
	struct members_plan plan = {0};
	size_t addresses = 0;

	for (unsigned int i = 0; i < entries->count; i++)
		addresses += entries->items[i].count;
	plan.room = (unsigned int)addresses + members->count;
	plan.wishes = calloc(addresses + 1, sizeof(*plan.wishes));
	plan.items = calloc(plan.room + 1, sizeof(struct endpoint *));
	if (!plan.wishes || !plan.items) {
		members_plan_free(&plan);
		return -ENOMEM;
	}
	make_wishes(entries, &plan);
	if (grant_wishes(upstream, members, &plan)) {
		members_plan_free(&plan);
		return -ENOMEM;
	}
	qsort(plan.wishes, plan.count, sizeof(*plan.wishes), compare_positions);
	*out = plan;
	return 0;
}

static void apply(const struct wish *wish, bool fresh)
{
	struct endpoint *endpoint = wish->endpoint;
	const struct entry *entry = wish->entry;
	bool is_new = !endpoint->member;

	if (is_new)
		endpoint->usable = fresh;
	/* What was asked of its name while it was away did not reach it; the newest command holds.
	 */
	for (int kind = 0; kind < COMMAND_KINDS; kind++)
		if (is_new || endpoint->commands[kind].nth < entry->commands[kind].nth)
			endpoint->commands[kind] = entry->commands[kind];
	/* That of a weight until somebody changes the weight in the config. */
	if (endpoint->entry_weight != entry->weight)
		endpoint->commands[COMMAND_WEIGHT] = entry->commands[COMMAND_WEIGHT];
	endpoint->member = true;
	endpoint->entry = entry;
	endpoint->entry_weight = entry->weight;
	endpoint->weight = weight_of(wish);
	endpoint->backup = is_backup(wish);
	endpoint->max_flows = entry->max_flows;
}

void members_commit(struct members *members, struct members_plan *plan, bool fresh)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < members->count; i++)
		members->items[i]->entry = NULL;
	for (unsigned int i = 0; i < plan->count; i++) {
		apply(&plan->wishes[i], fresh);
		plan->items[count++] = plan->wishes[i].endpoint;
		plan->wishes[i].endpoint = NULL;
	}
	for (unsigned int i = 0; i < members->count; i++) {
		struct endpoint *endpoint = members->items[i];

		/* A Maglev table may still lead to it, until the next one is built. */
		if (!endpoint->entry)
			endpoint->tier = NULL;
		if (!endpoint->entry && endpoint->flows)
			plan->items[count++] = endpoint;
		else
			endpoint_drop(endpoint);
	}
	free(members->items);
	*members = (struct members){plan->items, count};
	plan->items = NULL;
	members_plan_free(plan);
}

void members_plan_free(struct members_plan *plan)
{
	for (unsigned int i = 0; i < plan->count; i++)
		endpoint_drop(plan->wishes[i].endpoint);
	free(plan->wishes);
	free(plan->items);
	*plan = (struct members_plan){0};
}

void members_remove(struct members *members, struct endpoint *endpoint)
{
	for (unsigned int i = 0; i < members->count; i++) {
		if (members->items[i] != endpoint)
			continue;
		members->count--;
		memmove(&members->items[i], &members->items[i + 1],
			(members->count - i) * sizeof(struct endpoint *));
		endpoint_drop(endpoint);
		return;
	}
}

void members_free(struct members *members)
{
	for (unsigned int i = 0; i < members->count; i++)
		endpoint_drop(members->items[i]);
	free(members->items);
	*members = (struct members){0};
}
