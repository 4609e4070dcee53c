// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "policy/limit.h"
#include "unit/address.h"
#include "unit/update.h"

#define NOW      1000000 /* ms; any time */
#define IDLE_MAX 65536   /* as limit.h says */

static struct address from(const char *text)
{
	char with_port[64];

	snprintf(with_port, sizeof(with_port), strchr(text, ':') ? "[%s]:1" : "%s:1", text);
	return address_of(with_port);
}

static struct limit *made(const struct config_limits *limits)
{
	struct config_listener config = {.limits = *limits};
	struct limit *limit = NULL;

	cr_assert_eq(limit_new(&config, &limit), 0);
	return limit;
}

static enum limit_verdict admit(struct limit *limit, const char *source, uint64_t at)
{
	struct address address = from(source);

	return limit_admit(limit, &address, at);
}

static bool release(struct limit *limit, const char *source)
{
	struct address address = from(source);

	return limit_release(limit, &address);
}

static uint64_t number(struct limit *limit, const char *key)
{
	json_t *json = limit_json(limit);
	uint64_t value;

	cr_assert_not_null(json);
	value = (uint64_t)json_integer_value(json_object_get(json, key));
	json_decref(json);
	return value;
}

/* --- Addresses --------------------------------------------------------------------------- */

static void add(struct cidr_list *list, const char *text)
{
	static struct cidr items[8];
	static unsigned int used;

	items[used] = cidr_of(text);
	if (!list->count)
		list->items = &items[used];
	list->count++;
	used++;
}

Test(limit, allows_and_denies_by_address)
{
	struct config_listener config = {0};
	struct limit *limit;

	add(&config.allow, "10.0.0.0/8");
	add(&config.allow, "2001:db8::/32");
	add(&config.deny, "10.9.0.0/16");
	cr_assert_eq(limit_new(&config, &limit), 0);
	/* The limit has its own copy. */
	memset(config.allow.items, 0, 2 * sizeof(struct cidr));
	cr_expect_eq(admit(limit, "10.1.2.3", NOW), LIMIT_ADMITTED);
	cr_expect_eq(admit(limit, "::ffff:10.1.2.3", NOW), LIMIT_ADMITTED);
	cr_expect_eq(admit(limit, "2001:db8::1", NOW), LIMIT_ADMITTED);
	cr_expect_eq(admit(limit, "10.9.2.3", NOW), LIMIT_DENIED);
	cr_expect_eq(admit(limit, "::ffff:10.9.2.3", NOW), LIMIT_DENIED);
	cr_expect_eq(admit(limit, "11.1.2.3", NOW), LIMIT_DENIED);
	cr_expect_eq(admit(limit, "2001:db9::1", NOW), LIMIT_DENIED);
	cr_expect_eq(number(limit, "flows"), 3);
	limit_unref(limit);
}

Test(limit, without_a_list_everybody_is_allowed)
{
	struct config_listener config = {0};
	struct limit *limit;

	cr_assert_eq(limit_new(&config, &limit), 0);
	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_ADMITTED);
	add(&config.deny, "192.0.2.0/24");
	cr_assert_eq(limit_update(limit, &config), 0);
	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_DENIED);
	cr_expect_eq(admit(limit, "192.0.3.1", NOW), LIMIT_ADMITTED);
	limit_unref(limit);
}

Test(limit, a_client_that_is_gone_has_no_address)
{
	struct limit *limit = made(&(struct config_limits){.max_flows_per_source = 1});
	struct config_listener config = {0};
	struct address nobody = {0};

	cr_expect_eq(limit_admit(limit, &nobody, NOW), LIMIT_ADMITTED);
	limit_release(limit, &nobody);
	cr_expect_eq(number(limit, "flows"), 0);
	add(&config.allow, "0.0.0.0/0");
	cr_assert_eq(limit_update(limit, &config), 0);
	cr_expect_eq(limit_admit(limit, &nobody, NOW), LIMIT_DENIED);
	limit_unref(limit);
}

/* --- Flows ------------------------------------------------------------------------------- */

Test(limit, counts_flows)
{
	struct limit *limit = made(&(struct config_limits){.max_flows = 2});

	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_ADMITTED);
	cr_expect_eq(admit(limit, "192.0.2.2", NOW), LIMIT_ADMITTED);
	cr_expect_eq(admit(limit, "192.0.2.3", NOW), LIMIT_FLOWS);
	cr_expect_eq(number(limit, "sources"), 2, "one that was refused leaves nothing");
	cr_expect(release(limit, "192.0.2.1"));
	cr_expect_eq(admit(limit, "192.0.2.3", NOW), LIMIT_ADMITTED);
	cr_expect(release(limit, "192.0.2.3"));
	cr_expect_not(release(limit, "192.0.2.2"), "there was room before");
	cr_expect_eq(number(limit, "flows"), 0);
	cr_expect_eq(number(limit, "sources"), 0);
	limit_unref(limit);
}

Test(limit, counts_flows_by_source)
{
	struct limit *limit = made(&(struct config_limits){.max_flows_per_source = 2});

	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_ADMITTED);
	cr_expect_eq(admit(limit, "::ffff:192.0.2.1", NOW), LIMIT_ADMITTED);
	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_SOURCE_FLOWS);
	cr_expect_eq(admit(limit, "192.0.2.2", NOW), LIMIT_ADMITTED);
	cr_expect_eq(number(limit, "flows"), 3, "a refused one takes no place");
	cr_expect_not(release(limit, "192.0.2.2"));
	cr_expect(release(limit, "192.0.2.1"));
	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_ADMITTED);
	limit_unref(limit);
}

Test(limit, an_ipv6_source_is_its_64)
{
	struct limit *limit = made(&(struct config_limits){.max_flows_per_source = 1});

	cr_expect_eq(admit(limit, "2001:db8::1", NOW), LIMIT_ADMITTED);
	cr_expect_eq(admit(limit, "2001:db8::ffff:1", NOW), LIMIT_SOURCE_FLOWS);
	cr_expect_eq(admit(limit, "2001:db8:0:1::1", NOW), LIMIT_ADMITTED);
	/* Mapped IPv4 addresses share their first 64 bits. */
	cr_expect_eq(admit(limit, "::ffff:192.0.2.1", NOW), LIMIT_ADMITTED);
	cr_expect_eq(admit(limit, "::ffff:192.0.2.2", NOW), LIMIT_ADMITTED);
	limit_unref(limit);
}

Test(limit, follows_a_reload)
{
	struct limit *limit = made(&(struct config_limits){0});
	struct config_listener fewer = {.limits = {.max_flows = 2, .max_flows_per_source = 2}};

	for (int i = 0; i < 4; i++)
		cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_ADMITTED);
	cr_assert_eq(limit_update(limit, &fewer), 0);
	cr_expect_eq(admit(limit, "192.0.2.2", NOW), LIMIT_FLOWS);
	cr_expect_not(release(limit, "192.0.2.1"), "3 are still more than 2");
	cr_expect_not(release(limit, "192.0.2.1"), "2 are as many as may be");
	cr_expect_eq(admit(limit, "192.0.2.2", NOW), LIMIT_FLOWS);
	cr_expect(release(limit, "192.0.2.1"));
	cr_expect_eq(admit(limit, "192.0.2.2", NOW), LIMIT_ADMITTED);
	limit_unref(limit);
}

Test(limit, a_place_of_a_source_is_none_while_the_listener_is_full)
{
	struct limit *limit = made(&(struct config_limits){.max_flows_per_source = 2});
	struct config_listener fewer = {.limits = {.max_flows = 2, .max_flows_per_source = 2}};

	for (int i = 0; i < 2; i++) {
		cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_ADMITTED);
		cr_expect_eq(admit(limit, "192.0.2.2", NOW), LIMIT_ADMITTED);
	}
	cr_assert_eq(limit_update(limit, &fewer), 0);
	cr_expect_not(release(limit, "192.0.2.1"));
	limit_unref(limit);
}

/* --- Rate -------------------------------------------------------------------------------- */

static int admitted(struct limit *limit, const char *source, uint64_t at, int times)
{
	int count = 0;

	for (int i = 0; i < times; i++)
		count += admit(limit, source, at) == LIMIT_ADMITTED;
	return count;
}

Test(limit, admits_a_burst_then_the_rate)
{
	struct limit *limit =
		made(&(struct config_limits){.rate_per_source = 50, .rate_burst = 100});

	cr_expect_eq(admitted(limit, "192.0.2.1", NOW, 200), 101);
	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_SOURCE_RATE);
	cr_expect_eq(admitted(limit, "192.0.2.1", NOW + 19, 200), 0);
	cr_expect_eq(admitted(limit, "192.0.2.1", NOW + 20, 200), 1);
	cr_expect_eq(admitted(limit, "192.0.2.1", NOW + 1000, 200), 49);
	cr_expect_eq(admitted(limit, "192.0.2.1", NOW + 2000, 200), 50);
	cr_expect_eq(admitted(limit, "192.0.2.2", NOW, 200), 101, "another source");
	cr_expect_eq(admitted(limit, "192.0.2.1", NOW + 100000, 200), 101, "full again");
	limit_unref(limit);
}

/* One worker's clock was read a tick before another's, again and again. */
Test(limit, a_clock_that_lags_gives_nothing)
{
	struct limit *limit =
		made(&(struct config_limits){.rate_per_source = 1000, .rate_burst = 10});

	cr_expect_eq(admitted(limit, "192.0.2.1", NOW, 200), 11);
	for (int i = 0; i < 100; i++) {
		cr_expect_eq(admitted(limit, "192.0.2.1", NOW - 4, 10), 0);
		cr_expect_eq(admitted(limit, "192.0.2.1", NOW, 10), 0);
	}
	limit_unref(limit);
}

/* 10 seconds, asked every 4 ms by one who always wants more, at rates that divide nothing evenly.
 */
Test(limit, keeps_the_rate_over_time)
{
	static const uint64_t rates[] = {1, 3, 7, 50, 333, 9999};

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct limit *limit = made(&(struct config_limits){.rate_per_source = rates[i],
								   .rate_burst = rates[i] / 10});
		int count = 0, wanted = (int)(rates[i] * 10 + rates[i] / 10 + 1);

		for (uint64_t at = 0; at < 10000; at += 4)
			count += admitted(limit, "192.0.2.1", NOW + at, 50);
		cr_expect(count <= wanted && count >= wanted - (int)(rates[i] / 200) - 1,
			  "rate %lu: %d admitted, expected %d", rates[i], count, wanted);
		limit_unref(limit);
	}
}

Test(limit, remembers_the_rate_of_a_source_without_flows)
{
	struct limit *limit = made(&(struct config_limits){.rate_per_source = 1});

	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_ADMITTED);
	release(limit, "192.0.2.1");
	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_SOURCE_RATE);
	cr_expect_eq(number(limit, "sources"), 1);
	/* Forgotten when it has recovered, as soon as its shard is touched: all are, by now. */
	for (int i = 0; i < 2000; i++) {
		char other[32];

		snprintf(other, sizeof(other), "198.51.%d.%d", i / 256, i % 256);
		cr_assert_eq(admit(limit, other, NOW + 1000 + (uint64_t)i * 1000), LIMIT_ADMITTED);
		release(limit, other);
	}
	cr_expect_leq(number(limit, "sources"), 64, "one a shard, the last");
	limit_unref(limit);
}

Test(limit, a_higher_rate_shortens_what_is_owed)
{
	struct limit *limit = made(&(struct config_limits){.rate_per_source = 1, .rate_burst = 99});
	struct config_listener faster = {.limits = {.rate_per_source = 10, .rate_burst = 9}};

	cr_expect_eq(admitted(limit, "192.0.2.1", NOW, 200), 100);
	cr_assert_eq(limit_update(limit, &faster), 0);
	cr_expect_eq(admitted(limit, "192.0.2.1", NOW, 200), 0);
	cr_expect_eq(admitted(limit, "192.0.2.1", NOW + 100, 200), 1);
	cr_expect_eq(admitted(limit, "192.0.2.1", NOW + 1000, 200), 9);
	limit_unref(limit);
}

/* Who waits asks again and again. */
Test(limit, asking_costs_nothing)
{
	struct limit *limit = made(
		&(struct config_limits){.max_flows = 1, .rate_per_source = 1, .rate_burst = 1});

	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_ADMITTED);
	cr_expect_eq(admitted(limit, "192.0.2.1", NOW, 100), 0);
	cr_expect(release(limit, "192.0.2.1"));
	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_ADMITTED);
	limit_unref(limit);
}

Test(limit, says_how_many_were_turned_away)
{
	struct limit *limit = made(&(struct config_limits){0});
	json_t *json, *away;

	limit_turned_away(limit, LIMIT_DENIED);
	limit_turned_away(limit, LIMIT_SOURCE_RATE);
	limit_turned_away(limit, LIMIT_SOURCE_RATE);
	json = limit_json(limit);
	away = json_object_get(json, "turned_away");
	cr_expect_eq(json_integer_value(json_object_get(away, "denied")), 1);
	cr_expect_eq(json_integer_value(json_object_get(away, "flows")), 0);
	cr_expect_eq(json_integer_value(json_object_get(away, "source_flows")), 0);
	cr_expect_eq(json_integer_value(json_object_get(away, "source_rate")), 2);
	json_decref(json);
	limit_unref(limit);
}

/* --- Many sources ------------------------------------------------------------------------ */

#define SOURCES 1000000

static struct address numbered(unsigned int number)
{
	struct address address = {.length = sizeof(address.ipv4)};

	address.ipv4.sin_family = AF_INET;
	address.ipv4.sin_addr.s_addr = htonl(0x0a000000 + number);
	return address;
}

Test(limit, a_million_sources_stay_within_bounds, .timeout = 60)
{
	struct limit *limit = made(&(struct config_limits){.rate_per_source = 1});
	size_t before = mallinfo2().uordblks, grown;

	/* One with a flow is never forgotten. */
	cr_assert_eq(admit(limit, "192.0.2.1", NOW), LIMIT_ADMITTED);
	for (unsigned int i = 0; i < SOURCES; i++) {
		struct address source = numbered(i);

		cr_assert_eq(limit_admit(limit, &source, NOW), LIMIT_ADMITTED);
		limit_release(limit, &source);
	}
	grown = mallinfo2().uordblks - before;
	cr_expect_leq(number(limit, "sources"), IDLE_MAX + 1);
	cr_expect_geq(number(limit, "sources"), IDLE_MAX / 2, "they go to all shards");
	cr_expect_lt(grown, 16 * 1024 * 1024UL, "%zu bytes", grown);
	cr_expect_eq(admit(limit, "192.0.2.1", NOW), LIMIT_SOURCE_RATE);
	limit_unref(limit);
}

#define THREADS 4
#define ROUNDS  20000

struct crowd {
	struct limit *limit;
	atomic_uint inside;
	atomic_uint most;
	atomic_uint admitted;
};

static void *come_and_go(void *user)
{
	struct crowd *crowd = user;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct address source = numbered(i % 7);
		unsigned int inside, most;

		if (limit_admit(crowd->limit, &source, NOW) != LIMIT_ADMITTED)
			continue;
		atomic_fetch_add(&crowd->admitted, 1);
		inside = atomic_fetch_add(&crowd->inside, 1) + 1;
		most = atomic_load(&crowd->most);
		while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside))
			;
		atomic_fetch_sub(&crowd->inside, 1);
		limit_release(crowd->limit, &source);
	}
	return NULL;
}

Test(limit, many_threads_keep_the_count)
{
	struct config_listener config = {.limits = {.max_flows = 3, .max_flows_per_source = 2}};
	struct crowd crowd = {.limit = made(&config.limits)};
	pthread_t threads[THREADS];

	for (int i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, come_and_go, &crowd), 0);
	for (int i = 0; i < 100; i++)
		cr_assert_eq(limit_update(crowd.limit, &config), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	cr_expect_leq(atomic_load(&crowd.most), 3);
	cr_expect_gt(atomic_load(&crowd.admitted), ROUNDS);
	cr_expect_eq(number(crowd.limit, "flows"), 0);
	cr_expect_eq(number(crowd.limit, "sources"), 0);
	limit_unref(crowd.limit);
}
