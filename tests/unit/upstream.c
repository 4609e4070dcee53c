// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "unit/capture.h"
#include "unit/pool.h"
#include "unit/update.h"

static struct pool pool;
static struct capture capture;

static void close_pool(void)
{
	pool_close(&pool);
}

TestSuite(upstream, .fini = close_pool);

static void report(unsigned int index, enum endpoint_event event, int times)
{
	struct endpoint *endpoint = pool_endpoint(&pool, index);

	for (int i = 0; i < times; i++)
		endpoint_report(endpoint, event, pool.now);
	endpoint_unref(endpoint);
}

static void set_health(unsigned int index, bool up)
{
	struct endpoint *endpoint = pool_endpoint(&pool, index);

	endpoint_set_health(endpoint, up, up ? "answers" : "refused", pool.now);
	endpoint_unref(endpoint);
}

/* Which endpoints take flows, as a set of bits; 0: none does. */
static unsigned int taking(void)
{
	unsigned int set = 0;

	for (int i = 0; i < 4 * (int)pool.config.endpoint_count; i++) {
		int index = pool_visit(&pool, NULL);

		if (index >= 0)
			set |= 1u << index;
	}
	return set;
}

/* Visits of endpoint `index` among `picks`. */
static int visits(unsigned int index, int picks)
{
	int count = 0;

	for (int i = 0; i < picks; i++)
		count += pool_visit(&pool, NULL) == (int)index;
	return count;
}

static int lines_with(const char *text, const char *part)
{
	int count = 0;

	for (; (text = strstr(text, part)); text++)
		count++;
	return count;
}

static const json_t *endpoint_status(const json_t *json, unsigned int place)
{
	return json_array_get(json_object_get(json, "endpoints"), place);
}

static void assert_state(unsigned int place, const char *state)
{
	json_t *json = upstream_json(pool.upstream, pool.now);
	const char *is = json_string_value(json_object_get(endpoint_status(json, place), "state"));

	cr_assert_not_null(is);
	cr_assert_str_eq(is, state);
	json_decref(json);
}

/* --- Active health, backups, panic --------------------------------------------------------- */

Test(upstream, endpoints_that_are_down_take_nothing)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 3);
	pool_open(&pool);
	set_health(1, false);
	cr_expect_eq(taking(), 5);
	assert_state(1, "down");
	set_health(1, true);
	cr_expect_eq(taking(), 7);
	assert_state(1, "up");
}

Test(upstream, backups_serve_when_no_primary_does)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 4);
	pool.endpoints[2].backup = pool.endpoints[3].backup = true;
	pool.config.ejection.panic_percent = 0;
	pool_open(&pool);
	cr_expect_eq(taking(), 3);
	set_health(0, false);
	cr_expect_eq(taking(), 2);
	capture_start(&capture, stderr);
	set_health(1, false);
	cr_expect_eq(taking(), 12);
	cr_expect_eq(lines_with(capture_end(&capture, stderr), "backups"), 1);
	set_health(3, false);
	cr_expect_eq(taking(), 4);
	set_health(2, false);
	cr_expect_eq(taking(), 0);
	cr_expect_eq(pool_visit(&pool, NULL), -EHOSTUNREACH);
	set_health(0, true);
	cr_expect_eq(taking(), 1);
}

/* One flow has no luck with any primary: it goes on to a backup, the others do not. */
Test(upstream, a_flow_that_has_tried_all_primaries_gets_a_backup)
{
	struct endpoint *tried[3], *none;

	pool_init(&pool, BALANCE_ROUND_ROBIN, 3);
	pool.endpoints[2].backup = true;
	pool_open(&pool);
	for (unsigned int i = 0; i < 3; i++)
		cr_assert_eq(pool_try(&pool, NULL, tried, i, &tried[i]), 0);
	cr_expect_eq(pool_index(tried[2]), 2);
	cr_expect_eq(pool_try(&pool, NULL, tried, 3, &none), -EHOSTUNREACH);
	for (unsigned int i = 0; i < 3; i++)
		endpoint_release(tried[i]);
	cr_expect_eq(taking(), 3);
}

/* A full primary is usable: its flows wait, they do not spill over. */
Test(upstream, full_primaries_do_not_spill_to_backups)
{
	struct endpoint *held;

	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool.endpoints[0].max_flows = 1;
	pool.endpoints[1].backup = true;
	pool_open(&pool);
	held = pool_pick(&pool);
	cr_expect_eq(pool_visit(&pool, NULL), -EBUSY);
	cr_expect(endpoint_release(held));
	cr_expect_eq(pool_visit(&pool, NULL), 0);
}

Test(upstream, in_a_panic_all_are_used)
{
	const char *log;

	pool_init(&pool, BALANCE_ROUND_ROBIN, 4);
	pool_open(&pool);
	capture_start(&capture, stderr);
	set_health(0, false);
	set_health(1, false);
	cr_expect_eq(taking(), 12, "half of them is enough");
	set_health(2, false);
	cr_expect_eq(taking(), 15);
	set_health(3, false);
	cr_expect_eq(taking(), 15);
	set_health(0, true);
	cr_expect_eq(taking(), 15);
	set_health(1, true);
	cr_expect_eq(taking(), 3);
	log = capture_end(&capture, stderr);
	cr_expect_eq(lines_with(log, "panic: only 1 of 4"), 1, "%s", log);
	cr_expect_eq(lines_with(log, "panic is over"), 1, "%s", log);
	cr_expect_eq(lines_with(log, "panic"), 2, "%s", log);
}

Test(upstream, whom_the_operator_took_out_causes_no_panic)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 5);
	pool.endpoints[4].weight = 0;
	pool_open(&pool);
	cr_assert_eq(upstream_drain(pool.upstream, "10.0.0.1:80", true), 0);
	cr_assert_eq(upstream_drain(pool.upstream, "10.0.0.2:80", true), 0);
	cr_expect_eq(taking(), 12);
	set_health(2, false);
	cr_expect_eq(taking(), 8);
	set_health(3, false);
	cr_expect_eq(taking(), 12, "a panic, but not among those who are drained");
}

Test(upstream, backups_that_are_well_save_from_a_panic)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 3);
	pool.endpoints[2].backup = true;
	pool_open(&pool);
	set_health(0, false);
	set_health(1, false);
	cr_expect_eq(taking(), 4);
	set_health(2, false);
	cr_expect_eq(taking(), 7, "nobody is well: all are used");
}

Test(upstream, a_panic_among_backups_leaves_the_primaries_alone)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 4);
	for (int i = 1; i < 4; i++)
		pool.endpoints[i].backup = true;
	pool_open(&pool);
	set_health(0, false);
	set_health(1, false);
	cr_expect_eq(taking(), 12);
	set_health(2, false);
	cr_expect_eq(taking(), 14);
}

Test(upstream, without_a_threshold_there_is_no_panic)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool.config.ejection.panic_percent = 0;
	pool_open(&pool);
	set_health(0, false);
	set_health(1, false);
	cr_expect_eq(pool_visit(&pool, NULL), -EHOSTUNREACH);
}

/* --- Passive health ------------------------------------------------------------------------ */

Test(upstream, who_fails_is_ejected_for_a_time)
{
	const char *log;

	pool_init(&pool, BALANCE_ROUND_ROBIN, 3);
	pool_open(&pool);
	capture_start(&capture, stderr);
	report(1, ENDPOINT_CONNECT_FAILED, 2);
	cr_expect_eq(taking(), 7);
	report(1, ENDPOINT_CONNECT_FAILED, 5);
	cr_expect_eq(taking(), 5);
	assert_state(1, "ejected");
	pool.now += 9999;
	cr_expect_eq(taking(), 5);
	pool.now += 1;
	cr_expect_eq(taking(), 7);
	report(1, ENDPOINT_CONNECT_FAILED, 1);
	cr_expect_eq(taking(), 5);
	pool.now += 19999;
	cr_expect_eq(taking(), 5);
	pool.now += 1;
	cr_expect_eq(taking(), 7);
	log = capture_end(&capture, stderr);
	cr_expect_eq(lines_with(log, "pool: 10.0.0.2:80 is ejected for 10 s after 3 failed"), 1,
		     "%s", log);
	cr_expect_eq(lines_with(log, "is ejected for 20 s after 4 failed connects"), 1, "%s", log);
	cr_expect_eq(lines_with(log, "is back"), 2, "%s", log);
	cr_expect_eq(lines_with(log, "\n"), 4, "%s", log);
}

/* What was too long, or is not wanted at all any more, need not be waited for. */
Test(upstream, a_reload_shortens_ejections)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 4);
	pool.config.ejection.time = 3600000;
	pool.config.ejection.time_max = 3600000;
	pool_open(&pool);
	report(1, ENDPOINT_CONNECT_FAILED, 3);
	cr_expect_eq(taking(), 13);
	pool.config.ejection.time = 5000;
	pool.config.ejection.time_max = 20000;
	cr_assert_eq(upstream_update(pool.upstream, &pool.config, pool.now), 0);
	pool.now += 19999;
	cr_expect_eq(taking(), 13);
	pool.now += 1;
	cr_expect_eq(taking(), 15);
	report(1, ENDPOINT_CONNECT_FAILED, 1);
	cr_expect_eq(taking(), 13);
	pool.config.ejection.failures = 0;
	cr_assert_eq(upstream_update(pool.upstream, &pool.config, pool.now), 0);
	cr_expect_eq(taking(), 15);
}

Test(upstream, early_resets_eject_too)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 3);
	pool_open(&pool);
	for (int i = 0; i < 3; i++) {
		report(0, ENDPOINT_CONNECTED, 1);
		report(0, ENDPOINT_RESET_EARLY, 1);
	}
	cr_expect_eq(taking(), 6);
}

/* To stay with the one that just failed would be worse than to use all, as the panic does. */
Test(upstream, when_all_fail_all_are_used)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool_open(&pool);
	report(0, ENDPOINT_CONNECT_FAILED, 3);
	cr_expect_eq(taking(), 2);
	report(1, ENDPOINT_CONNECT_FAILED, 3);
	cr_expect_eq(taking(), 3);
	pool.now += 10000;
	cr_expect_eq(taking(), 3);
}

Test(upstream, the_last_one_is_not_ejected)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool.config.ejection.panic_percent = 0;
	pool_open(&pool);
	report(0, ENDPOINT_CONNECT_FAILED, 3);
	report(1, ENDPOINT_CONNECT_FAILED, 100);
	cr_expect_eq(taking(), 2);
	assert_state(1, "up");
	pool_close(&pool);

	pool_init(&pool, BALANCE_ROUND_ROBIN, 1);
	pool_open(&pool);
	report(0, ENDPOINT_CONNECT_FAILED, 100);
	assert_state(0, "up");
}

Test(upstream, checks_that_pass_again_end_an_ejection)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool_open(&pool);
	report(0, ENDPOINT_CONNECT_FAILED, 3);
	set_health(0, true);
	cr_expect_eq(taking(), 2, "it was up for the checks all the time");
	set_health(0, false);
	set_health(0, true);
	cr_expect_eq(taking(), 3);
}

Test(upstream, retries_have_a_budget)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool_open(&pool);
	for (int i = 0; i < 3; i++)
		cr_expect(upstream_may_retry(pool.upstream, pool.now));
	cr_expect_not(upstream_may_retry(pool.upstream, pool.now));
	for (int i = 0; i < 100; i++)
		pool_visit(&pool, NULL);
	for (int i = 0; i < 17; i++)
		cr_expect(upstream_may_retry(pool.upstream, pool.now));
	cr_expect_not(upstream_may_retry(pool.upstream, pool.now));
}

/* A flow that waits for a place asks often; that is not more traffic. */
Test(upstream, asking_in_vain_earns_no_retries)
{
	struct endpoint *held;

	pool_init(&pool, BALANCE_ROUND_ROBIN, 1);
	pool.endpoints[0].max_flows = 1;
	pool_open(&pool);
	held = pool_pick(&pool);
	for (int i = 0; i < 1000; i++)
		cr_expect_eq(pool_visit(&pool, NULL), -EBUSY);
	for (int i = 0; i < 3; i++)
		cr_expect(upstream_may_retry(pool.upstream, pool.now));
	cr_expect_not(upstream_may_retry(pool.upstream, pool.now));
	endpoint_release(held);
}

/* --- Slow start ---------------------------------------------------------------------------- */

Test(upstream, who_comes_back_starts_slowly)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool.config.slow_start = 10000;
	pool_open(&pool);
	cr_expect_eq(visits(0, 1000), 500, "nobody starts slowly at the start");
	set_health(0, false);
	pool.now += 5000;
	cr_expect_eq(visits(0, 1000), 0);
	set_health(0, true);
	cr_expect_leq(visits(0, 1000), 20);
	assert_state(0, "starting");
	/* Half of its weight against the whole one: a third. */
	pool.now += 5000;
	cr_expect_float_eq(visits(0, 1000), 333, 10);
	pool.now += 2500;
	cr_expect_float_eq(visits(0, 1000), 429, 10);
	pool.now += 2500;
	cr_expect_eq(visits(0, 1000), 500);
	assert_state(0, "up");
}

Test(upstream, ejected_drained_and_new_ones_start_slowly_too)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 3);
	pool.config.slow_start = 10000;
	pool_open(&pool);
	report(0, ENDPOINT_CONNECT_FAILED, 3);
	upstream_drain(pool.upstream, "10.0.0.2:80", true);
	cr_expect_eq(taking(), 4);
	pool.now += 10000;
	upstream_drain(pool.upstream, "10.0.0.2:80", false);
	pool_add(&pool, 1);
	cr_assert_eq(upstream_update(pool.upstream, &pool.config, pool.now), 0);
	for (unsigned int i = 0; i < 4; i++)
		assert_state(i, i == 2 ? "up" : "starting");
	cr_expect_geq(visits(2, 1000), 960);
	pool.now += 10000;
	cr_expect_eq(visits(2, 1000), 250);
}

/* A worker whose clock is a little behind asks first after the reload. */
Test(upstream, a_reload_without_slow_start_ends_one_that_has_just_begun)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool.config.slow_start = 10000;
	pool_open(&pool);
	set_health(0, false);
	set_health(0, true);
	cr_expect_leq(visits(0, 100), 20);
	assert_state(0, "starting");
	pool.config.slow_start = 0;
	pool.now -= 20;
	cr_assert_eq(upstream_update(pool.upstream, &pool.config, pool.now), 0);
	assert_state(0, "up");
	cr_expect_eq(visits(0, 100), 50);
}

/* With Maglev the keys move over bit by bit, each of them once. */
Test(upstream, keys_move_over_in_a_slow_start)
{
	enum {
		SOURCES = 1000
	};
	int last[SOURCES], moves = 0, moves_elsewhere = 0, theirs = 0;

	pool_init(&pool, BALANCE_MAGLEV, 10);
	pool.config.slow_start = 10000;
	pool_open(&pool);
	set_health(0, false);
	set_health(0, true);
	for (int step = 0; step <= 10; step++, pool.now += 1000)
		for (uint32_t i = 0; i < SOURCES; i++) {
			const struct address source = pool_source(i);
			int index = pool_visit(&pool, &source);

			moves += step && index != last[i];
			moves_elsewhere += step && index != last[i] && index;
			theirs += step == 10 && !index;
			last[i] = index;
		}
	cr_expect(theirs > 60 && theirs < 140, "%d", theirs);
	fprintf(stderr, "%d sources of %d moved to it, %d elsewhere\n", theirs, SOURCES,
		moves_elsewhere);
	cr_expect_leq(moves_elsewhere, SOURCES / 10);
	cr_expect_geq(moves, theirs - 20);
}

/* --- Commands and status ------------------------------------------------------------------- */

Test(upstream, commands_find_their_endpoint)
{
	static char text[] = "[0::1]:80";

	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool.endpoints[1].text = text;
	pool.endpoints[1].address = address_of(text);
	pool_open(&pool);
	cr_expect_eq(upstream_drain(pool.upstream, "10.0.0.9:80", true), -ENOENT);
	cr_expect_eq(upstream_set_weight(pool.upstream, "10.0.0.9:80", 1), -ENOENT);
	cr_expect_eq(upstream_drain(pool.upstream, "[0::1]:80", true), 0);
	assert_state(1, "drained");
	cr_expect_eq(upstream_drain(pool.upstream, "[::1]:80", false), 0);
	assert_state(1, "up");
}

Test(upstream, a_drained_endpoint_keeps_its_flows)
{
	struct endpoint *held;

	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool_open(&pool);
	held = pool_pick(&pool);
	upstream_drain(pool.upstream, endpoint_name(held), true);
	assert_state(pool_index(held), "draining");
	cr_expect_eq(taking(), 2);
	endpoint_release(held);
	assert_state(0, "drained");
	upstream_drain(pool.upstream, "10.0.0.2:80", true);
	cr_expect_eq(pool_visit(&pool, NULL), -EHOSTUNREACH);
}

Test(upstream, a_weight_that_was_set_counts_at_once)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool_open(&pool);
	cr_expect_eq(upstream_set_weight(pool.upstream, "10.0.0.1:80", 3), 0);
	cr_expect_eq(visits(0, 1000), 750);
	cr_expect_eq(upstream_set_weight(pool.upstream, "10.0.0.1:80", 0), 0);
	cr_expect_eq(visits(0, 1000), 0);
	cr_expect_eq(upstream_set_weight(pool.upstream, "10.0.0.1:80", 257), -EINVAL);
}

static json_int_t number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	cr_assert(json_is_integer(value), "%s", key);
	return json_integer_value(value);
}

Test(upstream, status_counts)
{
	struct endpoint *held;
	const json_t *endpoint;
	json_t *json;

	pool_init(&pool, BALANCE_LEAST_CONNECTIONS, 1);
	pool.endpoints[0].max_flows = 9;
	pool.endpoints[0].weight = 7;
	pool_open(&pool);
	held = pool_pick(&pool);
	pool_visit(&pool, NULL);
	report(0, ENDPOINT_CONNECT_FAILED, 2);
	report(0, ENDPOINT_RESET_EARLY, 1);
	set_health(0, false);
	json = upstream_json(pool.upstream, pool.now);
	cr_expect_str_eq(json_string_value(json_object_get(json, "name")), "pool");
	cr_expect_str_eq(json_string_value(json_object_get(json, "balance")), "least_connections");
	cr_expect_str_eq(json_string_value(json_object_get(json, "serving")), "panic");
	endpoint = endpoint_status(json, 0);
	cr_expect_str_eq(json_string_value(json_object_get(endpoint, "address")), "10.0.0.1:80");
	cr_expect_str_eq(json_string_value(json_object_get(endpoint, "reason")), "refused");
	cr_expect_eq(number(endpoint, "flows"), 1);
	cr_expect_eq(number(endpoint, "max_flows"), 9);
	cr_expect_eq(number(endpoint, "weight"), 7);
	cr_expect_eq(number(endpoint, "picks"), 2);
	cr_expect_eq(number(endpoint, "connects_failed"), 2);
	cr_expect_eq(number(endpoint, "resets_early"), 1);
	json_decref(json);
	endpoint_release(held);
}

/* A flow may be the last to know of its upstream. */
Test(upstream, an_endpoint_keeps_its_upstream)
{
	struct endpoint *held;

	pool_init(&pool, BALANCE_MAGLEV, 2);
	pool_open(&pool);
	held = pool_pick(&pool);
	upstream_unref(pool.upstream);
	pool.upstream = NULL;
	endpoint_report(held, ENDPOINT_CONNECTED, pool.now);
	cr_expect_str_eq(endpoint_name(held), pool.texts[pool_index(held)]);
	endpoint_release(held);
}
