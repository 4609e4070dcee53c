#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/upstream.h"
#include "unit/address.h"
#include "unit/seed.h"

/* An upstream to pick from: 10.0.0.1:80 and so on, by default all of weight 1. */

#define POOL_MAX 128

struct pool {
	struct config_upstream config;
	struct config_endpoint endpoints[POOL_MAX];
	char texts[POOL_MAX][32];
	struct upstream *upstream;
	uint64_t now; /* ms */
	struct rng rng;
};

/* A client, one of 2^24. */
static inline struct address pool_source(uint32_t number)
{
	struct address source = address_of("172.0.0.0:1");

	source.ipv4.sin_addr.s_addr = htonl(0xac000000 | (number & 0xffffff));
	source.ipv4.sin_port = htons((uint16_t)(number * 7 + 1));
	return source;
}

static inline struct config_endpoint *pool_add(struct pool *pool, uint32_t weight)
{
	unsigned int i = pool->config.endpoint_count++;
	struct config_endpoint *endpoint = &pool->endpoints[i];

	cr_assert_lt(i, POOL_MAX);
	snprintf(pool->texts[i], sizeof(pool->texts[i]), "10.0.0.%u:80", i + 1);
	*endpoint = (struct config_endpoint){
		.kind = ENDPOINT_ADDRESS,
		.text = pool->texts[i],
		.address = address_of(pool->texts[i]),
		.weight = weight,
	};
	return endpoint;
}

static inline void pool_init(struct pool *pool, enum balance balance, unsigned int count)
{
	static char name[] = "pool";

	*pool = (struct pool){
		.config =
			{
				.name = name,
				.balance = balance,
				.endpoints = pool->endpoints,
				.retry_budget = 20,
				.retry_budget_min = 3,
				.ejection = {.failures = 3,
					     .time = 10000,
					     .time_max = 300000,
					     .panic_percent = 50},
			},
		.now = 1000000,
		.rng = {1},
	};
	for (unsigned int i = 0; i < count; i++)
		pool_add(pool, 1);
}

static inline void pool_open(struct pool *pool)
{
	cr_assert_eq(upstream_new(&pool->config, pool->now, &pool->upstream), 0);
}

static inline void pool_close(struct pool *pool)
{
	upstream_unref(pool->upstream);
	pool->upstream = NULL;
}

/* 0 and *out, or the error. */
static inline int pool_try(struct pool *pool, const struct address *source,
			   struct endpoint *const *tried, unsigned int tried_count,
			   struct endpoint **out)
{
	const struct address anybody = pool_source(1);
	const struct upstream_request request = {
		.source = source ? source : &anybody,
		.tried = tried,
		.tried_count = tried_count,
		.now_ms = pool->now,
		.random = rng_next(&pool->rng),
	};

	return upstream_pick(pool->upstream, &request, out);
}

static inline struct endpoint *pool_pick(struct pool *pool)
{
	struct endpoint *endpoint = NULL;
	int err = pool_try(pool, NULL, NULL, 0, &endpoint);

	cr_assert_eq(err, 0, "pick: %s", strerror(-err));
	return endpoint;
}

/* The last byte of its address, less 1: its place in `endpoints`. */
static inline unsigned int pool_index(const struct endpoint *endpoint)
{
	return (ntohl(endpoint_address(endpoint)->ipv4.sin_addr.s_addr) & 0xff) - 1;
}

/* Pick and let go. Returns the index, or -errno. */
static inline int pool_visit(struct pool *pool, const struct address *source)
{
	struct endpoint *endpoint;
	int err = pool_try(pool, source, NULL, 0, &endpoint);
	int index;

	if (err)
		return err;
	index = (int)pool_index(endpoint);
	endpoint_release(endpoint);
	return index;
}

/* A reference to the endpoint of that index. */
static inline struct endpoint *pool_endpoint(struct pool *pool, unsigned int index)
{
	struct endpoint *all[POOL_MAX], *found = NULL;
	unsigned int count = upstream_endpoints(pool->upstream, all, POOL_MAX);

	for (unsigned int i = 0; i < count; i++)
		if (pool_index(all[i]) == index)
			found = all[i];
		else
			endpoint_unref(all[i]);
	cr_assert_not_null(found, "endpoint %u is not there", index);
	return found;
}
