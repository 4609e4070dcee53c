// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "policy/resolution.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "policy/cidr.h"

/* What is beyond is not looked at: an SRV answer could name thousands of hosts with thousands each.
 */
#define CANDIDATES_MAX 4096U

static struct address address_of(enum dns_type type, const struct dns_record *record, uint16_t port)
{
	struct address address;

	memset(&address, 0, sizeof(address)); /* addresses are compared as bytes */
	if (type == DNS_AAAA) {
		address.ipv6.sin6_family = AF_INET6;
		address.ipv6.sin6_addr = record->ipv6;
		address.ipv6.sin6_port = htons(port);
		address.length = sizeof(address.ipv6);
	} else {
		address.ipv4.sin_family = AF_INET;
		address.ipv4.sin_addr = record->ipv4;
		address.ipv4.sin_port = htons(port);
		address.length = sizeof(address.ipv4);
	}
	return address;
}

int resolution_add(struct resolution *resolution, const struct resolution_host *host,
		   enum dns_type type, const struct dns_record *records, unsigned int count)
{
	unsigned int room = resolution->count + count;
	struct candidate *items;

	if (room > CANDIDATES_MAX) {
		count = CANDIDATES_MAX - resolution->count;
		room = CANDIDATES_MAX;
	}
	if (room > resolution->room) {
		items = realloc(resolution->items, 2UL * room * sizeof(*items));
		if (!items)
			return -ENOMEM;
		resolution->items = items;
		resolution->room = 2 * room;
	}
	for (unsigned int i = 0; i < count; i++)
		resolution->items[resolution->count++] = (struct candidate){
			.address = address_of(type, &records[i], host->port),
			.host = *host,
		};
	return 0;
}

/* --- Routes ------------------------------------------------------------------------------ */

/* Whether connect(2) finds a route and a source address. Of UDP, which sends nothing by that. */
static bool has_route(const struct address *to, uint32_t mark, const char *interface)
{
	int fd = socket(to->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool found;

	if (fd < 0)
		return errno != EAFNOSUPPORT;
	if (mark)
		setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	if (interface)
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface,
			   (socklen_t)strlen(interface));
	found = !connect(fd, &to->any, to->length);
	close(fd);
	return found;
}

static bool is_mixed(const struct resolution *resolution)
{
	for (unsigned int i = 1; i < resolution->count; i++)
		if (resolution->items[i].address.any.sa_family !=
		    resolution->items[0].address.any.sa_family)
			return true;
	return false;
}

void resolution_prune(struct resolution *resolution, uint32_t mark, const char *interface)
{
	unsigned int kept = 0;

	if (!is_mixed(resolution))
		return;
	/* Those with a route go to the front; nothing is lost where there are none. */
	for (unsigned int i = 0; i < resolution->count; i++) {
		struct candidate candidate = resolution->items[i];

		if (!has_route(&candidate.address, mark, interface))
			continue;
		resolution->items[i] = resolution->items[kept];
		resolution->items[kept++] = candidate;
	}
	if (kept)
		resolution->count = kept;
}

/* --- The result -------------------------------------------------------------------------- */

/* The weight of the heaviest SRV record. */
static uint32_t heaviest(const struct resolution *resolution)
{
	uint32_t weight = 0;

	for (unsigned int i = 0; i < resolution->count; i++)
		if (resolution->items[i].host.weight > weight)
			weight = resolution->items[i].host.weight;
	return weight;
}

/*
 * RFC 2782: beside others, a weight of 0 has "a very small chance". Weights go to 65535 there;
 * beyond what an endpoint may have, their proportion stays.
 */
static uint32_t weight_of(const struct candidate *candidate, uint32_t most)
{
	uint32_t weight = candidate->host.weight;

	if (!candidate->host.is_target || !most)
		return 0;
	if (most > ENDPOINT_WEIGHT_MAX)
		weight = weight * ENDPOINT_WEIGHT_MAX / most;
	return weight ? weight : 1;
}

static int compare_addresses(const struct address *one, const struct address *other)
{
	uint8_t left[16], right[16];
	int order;

	cidr_address_bytes(one, left);
	cidr_address_bytes(other, right);
	order = memcmp(left, right, sizeof(left));
	/* sin_port and sin6_port are at the same place. */
	return order ? order : (int)ntohs(one->ipv4.sin_port) - (int)ntohs(other->ipv4.sin_port);
}

/* By priority and address, and the heavier first of those that are the same. */
static int by_rank(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;
	int order;

	if (a->host.priority != b->host.priority)
		return a->host.priority < b->host.priority ? -1 : 1;
	order = compare_addresses(&a->address, &b->address);
	return order ? order : (int)b->host.weight - (int)a->host.weight;
}

static bool is_among(const struct address *address, const struct resolved *list, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		if (address_equal(address, &list[i].address))
			return true;
	return false;
}

unsigned int resolution_finish(struct resolution *resolution, struct resolved *out,
			       unsigned int room)
{
	uint32_t most = heaviest(resolution);
	unsigned int count = 0, all = 0;

	if (resolution->count)
		qsort(resolution->items, resolution->count, sizeof(*resolution->items), by_rank);
	for (unsigned int i = 0; i < resolution->count; i++) {
		const struct candidate *candidate = &resolution->items[i];

		if (is_among(&candidate->address, out, count))
			continue;
		all++;
		if (count == room)
			continue;
		out[count++] = (struct resolved){
			.address = candidate->address,
			.weight = weight_of(candidate, most),
			.backup = candidate->host.priority != resolution->items[0].host.priority,
		};
	}
	return all;
}

void resolution_free(struct resolution *resolution)
{
	free(resolution->items);
	*resolution = (struct resolution){0};
}
