// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a pick costs: each way of balancing, with 10, 100 and 1000 endpoints, on one thread, and
 * what it takes to build a Maglev table. Prints Markdown; docs/balancing.md has the figures of one
 * machine. The least of several rounds of CPU time, because whatever else a machine does can only
 * add.
 */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"
#include "policy/maglev.h"
#include "policy/upstream.h"

#define ROUNDS        9
#define PICKS         100000
#define ENDPOINTS_MAX 1000
#define TEXT          32
#define SMALL         MAGLEV_SIZE
#define LARGE         655373
#define BUILDS        3

static const struct {
	enum balance balance;
	const char *name;
} balances[] = {
	{BALANCE_ROUND_ROBIN, "round_robin"}, {BALANCE_LEAST_CONNECTIONS, "least_connections"},
	{BALANCE_RANDOM_TWO, "random_two"},   {BALANCE_SOURCE_HASH, "source_hash"},
	{BALANCE_MAGLEV, "maglev"},
};

static const unsigned int counts[] = {10, 100, 1000};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char names[ENDPOINTS_MAX][TEXT];
static struct config_endpoint endpoints[ENDPOINTS_MAX];
static struct maglev_member members[ENDPOINTS_MAX];

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double least(const double *values, size_t count)
{
	double least = values[0];

	for (size_t i = 1; i < count; i++)
		least = values[i] < least ? values[i] : least;
	return least;
}

static void make_endpoints(void)
{
	for (unsigned int i = 0; i < ENDPOINTS_MAX; i++) {
		snprintf(names[i], TEXT, "10.0.%u.%u:80", i / 250, i % 250 + 1);
		endpoints[i] = (struct config_endpoint){
			.kind = ENDPOINT_ADDRESS,
			.text = names[i],
			.address = {.length = sizeof(struct sockaddr_in)},
			.weight = 1,
		};
		endpoints[i].address.ipv4 = (struct sockaddr_in){
			.sin_family = AF_INET,
			.sin_port = htons(80),
			.sin_addr.s_addr = htonl(0x0a000000 + (i / 250) * 256 + i % 250 + 1),
		};
		members[i] =
			(struct maglev_member){.name = names[i], .weight = 1, .user = &members[i]};
	}
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Nanoseconds for a pick and the release of it, each by another source. */
static double pick_ns(enum balance balance, unsigned int count)
{
	static char name[] = "bench";
	const struct config_upstream config = {
		.name = name,
		.balance = balance,
		.endpoints = endpoints,
		.endpoint_count = count,
	};
	struct address source = {.length = sizeof(struct sockaddr_in)};
	struct upstream_request request = {.source = &source, .now_ms = 1};
	struct upstream *upstream;
	double rounds[ROUNDS];
	uint64_t random = 88172645463325252U;

	if (upstream_new(&config, 1, &upstream))
		exit(1);
	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns();

		for (int i = 0; i < PICKS; i++) {
			struct endpoint *endpoint;

			request.random = next_random(&random);
			source.ipv4.sin_family = AF_INET;
			source.ipv4.sin_addr.s_addr = (in_addr_t)request.random;
			if (upstream_pick(upstream, &request, &endpoint))
				exit(1);
			endpoint_release(endpoint);
		}
		rounds[round] = (now_ns() - start) / PICKS;
	}
	upstream_unref(upstream);
	return least(rounds, ROUNDS);
}

static double build_us(unsigned int count, uint32_t size)
{
	double rounds[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns();

		for (int i = 0; i < BUILDS; i++) {
			struct maglev *maglev;

			if (maglev_new(members, count, size, &maglev))
				exit(1);
			maglev_free(maglev);
		}
		rounds[round] = (now_ns() - start) / BUILDS / 1000;
	}
	return least(rounds, ROUNDS);
}

/* The look-up alone, by keys that are hashes already. */
static double lookup_ns(unsigned int count, uint32_t size)
{
	struct maglev *maglev;
	double rounds[ROUNDS];
	uint64_t random = 88172645463325252U, sum = 0;

	if (maglev_new(members, count, size, &maglev))
		exit(1);
	for (int round = 0; round < ROUNDS; round++) {
		double start = now_ns();

		for (int i = 0; i < PICKS; i++)
			sum += (uintptr_t)maglev_lookup(maglev, next_random(&random));
		rounds[round] = (now_ns() - start) / PICKS;
	}
	maglev_free(maglev);
	return sum ? least(rounds, ROUNDS) : 0;
}

int main(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	make_endpoints();
	printf("| pick and release, ns | 10 endpoints | 100 | 1000 |\n|---|---|---|---|\n");
	for (size_t i = 0; i < COUNT(balances); i++) {
		printf("| `%s` |", balances[i].name);
		for (size_t j = 0; j < COUNT(counts); j++)
			printf(" %.0f |", pick_ns(balances[i].balance, counts[j]));
		printf("\n");
	}
	printf("\n| Maglev table | 10 endpoints | 100 | 1000 |\n|---|---|---|---|\n");
	for (int large = 0; large < 2; large++) {
		uint32_t size = large ? LARGE : SMALL;

		printf("| build, %u slots, us |", size);
		for (size_t j = 0; j < COUNT(counts); j++)
			printf(" %.0f |", build_us(counts[j], size));
		printf("\n| look-up alone, %u slots, ns |", size);
		for (size_t j = 0; j < COUNT(counts); j++)
			printf(" %.1f |", lookup_ns(counts[j], size));
		printf("\n");
	}
	return 0;
}
