// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <pthread.h>
#include <stdatomic.h>

#include "log.h"
#include "unit/pool.h"
#include "unit/update.h"

/*
 * Flows on several threads, while another one reloads, resolves, checks, drains and asks for the
 * status. To be run under ThreadSanitizer and AddressSanitizer; without them it sees that counts
 * add up.
 */

#define THREADS 4
#define CHANGES 1000
#define HELD    16

static struct pool pool;
static _Atomic uint64_t clock_ms;
static atomic_bool stop;
static atomic_ulong picks;

static void retry(const struct upstream_request *first, struct endpoint *tried)
{
	struct upstream_request request = *first;
	struct endpoint *endpoint;

	request.tried = &tried;
	request.tried_count = 1;
	if (!upstream_may_retry(pool.upstream, request.now_ms) ||
	    upstream_pick(pool.upstream, &request, &endpoint))
		return;
	endpoint_report(endpoint, ENDPOINT_CONNECTED, request.now_ms);
	endpoint_release(endpoint);
	atomic_fetch_add(&picks, 1);
}

static void *run_flows(void *number)
{
	struct rng rng = {(uintptr_t)number};
	struct endpoint *held[HELD] = {0};

	while (!atomic_load(&stop)) {
		const struct address source = pool_source((uint32_t)rng_next(&rng));
		const struct upstream_request request = {
			.source = &source,
			.now_ms = atomic_load(&clock_ms),
			.random = rng_next(&rng),
		};
		struct endpoint **place = &held[rng_range(&rng, 0, HELD - 1)];

		if (*place)
			endpoint_release(*place);
		*place = NULL;
		if (upstream_pick(pool.upstream, &request, place))
			continue;
		atomic_fetch_add(&picks, 1);
		if (rng_percent(&rng, 30)) {
			endpoint_report(*place, ENDPOINT_CONNECT_FAILED, request.now_ms);
			retry(&request, *place);
		} else {
			endpoint_report(*place, ENDPOINT_CONNECTED, request.now_ms);
			endpoint_report(*place,
					rng_percent(&rng, 20) ? ENDPOINT_RESET_EARLY
							      : ENDPOINT_SERVED,
					request.now_ms);
		}
	}
	for (int i = 0; i < HELD; i++)
		if (held[i])
			endpoint_release(held[i]);
	return NULL;
}

static void check_some(struct rng *rng, uint64_t now)
{
	struct endpoint *all[POOL_MAX];
	unsigned int count = upstream_endpoints(pool.upstream, all, POOL_MAX);

	for (unsigned int i = 0; i < count; i++) {
		endpoint_set_health(all[i], rng_percent(rng, 70), "by chance", now);
		endpoint_unref(all[i]);
	}
}

static void resolve_some(struct rng *rng, uint64_t now)
{
	struct resolved answer[4];
	unsigned int count = rng_range(rng, 0, 4);

	for (unsigned int i = 0; i < count; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.0.1.%u:80", rng_range(rng, 1, 8));
		answer[i] = (struct resolved){.address = address_of(text)};
	}
	cr_assert_eq(upstream_resolved(pool.upstream, 0, answer, count, now), 0);
}

static void reload_some(struct rng *rng, uint64_t now)
{
	pool.config.balance = (enum balance)rng_range(rng, BALANCE_ROUND_ROBIN, BALANCE_MAGLEV);
	pool.config.endpoint_count = rng_range(rng, 1, 9);
	pool.config.slow_start = rng_percent(rng, 50) ? 100 : 0;
	cr_assert_eq(upstream_update(pool.upstream, &pool.config, now), 0);
}

static void change_something(struct rng *rng)
{
	uint64_t now = atomic_fetch_add(&clock_ms, rng_range(rng, 0, 20));
	char *name = pool.texts[rng_range(rng, 0, 8)];

	switch (rng_range(rng, 0, 5)) {
	case 0:
		reload_some(rng, now);
		break;
	case 1:
		resolve_some(rng, now);
		break;
	case 2:
		check_some(rng, now);
		break;
	case 3:
		upstream_drain(pool.upstream, name, rng_percent(rng, 30));
		break;
	case 4:
		upstream_set_weight(pool.upstream, name, rng_range(rng, 0, 9));
		break;
	default:
		json_decref(upstream_json(pool.upstream, now));
	}
}

static json_int_t flows_now(size_t *leaving)
{
	json_t *json = upstream_json(pool.upstream, atomic_load(&clock_ms));
	json_t *endpoint;
	json_int_t flows = 0;
	size_t i;

	*leaving = 0;
	json_array_foreach(json_object_get(json, "endpoints"), i, endpoint)
	{
		flows += json_integer_value(json_object_get(endpoint, "flows"));
		*leaving +=
			!strcmp(json_string_value(json_object_get(endpoint, "state")), "leaving");
	}
	json_decref(json);
	return flows;
}

Test(upstream_threads, everything_at_once)
{
	pthread_t threads[THREADS];
	struct rng rng = seeded("upstream threads");
	size_t leaving;

	log_set_level(LOG_LEVEL_ERROR);
	pool_init(&pool, BALANCE_ROUND_ROBIN, 9);
	pool.endpoints[0].kind = ENDPOINT_SRV;
	pool.endpoints[3].backup = true;
	pool.endpoints[4].max_flows = 5;
	pool.config.ejection.time = 50;
	pool.config.health.kind = HEALTH_TCP;
	atomic_store(&clock_ms, pool.now);
	pool_open(&pool);
	for (uintptr_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, run_flows, (void *)(i + 1)), 0);
	for (int i = 0; i < CHANGES; i++)
		change_something(&rng);
	atomic_store(&stop, true);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	fprintf(stderr, "%lu picks\n", atomic_load(&picks));
	cr_expect_gt(atomic_load(&picks), 1000);
	cr_expect_eq(flows_now(&leaving), 0);
	cr_expect_eq(leaving, 0);
	pool_close(&pool);
}
