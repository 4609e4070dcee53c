// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/endpoint.h"
#include "unit/pool.h"
#include "unit/update.h"

/* Who belongs to an upstream, through reloads and answers from the DNS. */

static struct pool pool;

static void close_pool(void)
{
	pool_close(&pool);
}

TestSuite(members, .fini = close_pool);

static void reload(void)
{
	cr_assert_eq(upstream_update(pool.upstream, &pool.config, pool.now), 0);
}

static void remove_entry(unsigned int index)
{
	pool.config.endpoint_count--;
	memmove(&pool.endpoints[index], &pool.endpoints[index + 1],
		(pool.config.endpoint_count - index) * sizeof(pool.endpoints[0]));
}

static struct config_endpoint *add_name(const char *text, enum endpoint_kind kind)
{
	struct config_endpoint *endpoint = pool_add(&pool, 1);

	snprintf(pool.texts[pool.config.endpoint_count - 1], sizeof(pool.texts[0]), "%s", text);
	endpoint->kind = kind;
	endpoint->address = (struct address){.length = 0};
	return endpoint;
}

/* What the endpoints of the upstream are, in their order: "10.0.0.1:80*2 drained, ...". */
static const char *members(void)
{
	static char text[1024];
	json_t *json = upstream_json(pool.upstream, pool.now);
	json_t *endpoint;
	size_t used = 0, i;

	*text = '\0';
	json_array_foreach(json_object_get(json, "endpoints"), i, endpoint)
	{
		const char *state = json_string_value(json_object_get(endpoint, "state"));

		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%s*%lld%s%s%s", i ? ", " : "",
			json_string_value(json_object_get(endpoint, "address")),
			json_integer_value(json_object_get(endpoint, "weight")),
			json_is_true(json_object_get(endpoint, "backup")) ? " backup" : "",
			strcmp(state, "up") ? " " : "", strcmp(state, "up") ? state : "");
	}
	json_decref(json);
	return text;
}

static void resolve(unsigned int index, const struct resolved *addresses, unsigned int count)
{
	cr_assert_eq(upstream_resolved(pool.upstream, index, addresses, count, pool.now), 0);
}

static struct resolved address(const char *text)
{
	return (struct resolved){.address = address_of(text)};
}

Test(members, a_reload_keeps_what_stays)
{
	struct endpoint *held[4];

	pool_init(&pool, BALANCE_ROUND_ROBIN, 4);
	pool_open(&pool);
	for (int i = 0; i < 4; i++)
		held[i] = pool_pick(&pool);
	upstream_drain(pool.upstream, "10.0.0.1:80", true);
	endpoint_set_health(held[1], false, "refused", pool.now);
	for (int i = 0; i < 3; i++)
		endpoint_report(held[2], ENDPOINT_CONNECT_FAILED, pool.now);
	pool.config.health.kind = HEALTH_TCP;
	pool.config.balance = BALANCE_LEAST_CONNECTIONS;
	pool.endpoints[3].weight = 9;
	reload();
	cr_expect_str_eq(members(), "10.0.0.1:80*1 draining, 10.0.0.2:80*1 down, "
				    "10.0.0.3:80*1 ejected, 10.0.0.4:80*9");
	for (int i = 0; i < 4; i++) {
		struct endpoint *same = pool_endpoint(&pool, (unsigned int)i);

		cr_expect_eq(same, held[i]);
		endpoint_unref(same);
		endpoint_release(held[i]);
	}
	pool.config.health.kind = HEALTH_NONE;
	reload();
	cr_expect_str_eq(members(),
			 "10.0.0.1:80*1 drained, 10.0.0.2:80*1, "
			 "10.0.0.3:80*1 ejected, 10.0.0.4:80*9",
			 "without checks nobody would bring it up again: %s", members());
}

Test(members, who_is_removed_leaves_with_its_last_flow)
{
	struct endpoint *first, *second;

	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool_open(&pool);
	first = pool_pick(&pool);
	second = pool_pick(&pool);
	remove_entry(0);
	reload();
	cr_expect_str_eq(members(), "10.0.0.2:80*1, 10.0.0.1:80*1 leaving");
	for (int i = 0; i < 10; i++)
		cr_expect_eq(pool_visit(&pool, NULL), 1);
	cr_expect_eq(upstream_drain(pool.upstream, "10.0.0.1:80", true), -ENOENT);
	endpoint_report(first, ENDPOINT_CONNECT_FAILED, pool.now);
	endpoint_set_health(first, false, "refused", pool.now);
	endpoint_release(first);
	cr_expect_str_eq(members(), "10.0.0.2:80*1");
	endpoint_release(second);
	cr_expect_str_eq(members(), "10.0.0.2:80*1");
}

/* Its flows count against its limit again. */
Test(members, who_returns_before_that_is_the_same)
{
	struct endpoint *held, *same;

	pool_init(&pool, BALANCE_ROUND_ROBIN, 1);
	pool.endpoints[0].max_flows = 1;
	pool_open(&pool);
	held = pool_pick(&pool);
	pool.config.endpoint_count = 0;
	reload();
	cr_expect_eq(pool_visit(&pool, NULL), -EHOSTUNREACH);
	pool.config.endpoint_count = 1;
	reload();
	same = pool_endpoint(&pool, 0);
	cr_expect_eq(same, held);
	endpoint_unref(same);
	cr_expect_eq(pool_visit(&pool, NULL), -EBUSY);
	endpoint_release(held);
	cr_expect_eq(pool_visit(&pool, NULL), 0);
}

Test(members, a_checker_may_hold_who_has_left)
{
	struct endpoint *held;

	pool_init(&pool, BALANCE_MAGLEV, 2);
	pool_open(&pool);
	held = pool_endpoint(&pool, 0);
	remove_entry(0);
	reload();
	cr_expect_str_eq(members(), "10.0.0.2:80*1");
	cr_expect_null(held->tier, "a Maglev table that lags behind would take it");
	endpoint_set_health(held, false, "refused", pool.now);
	pool_close(&pool);
	endpoint_unref(endpoint_ref(held));
	endpoint_unref(held);
}

Test(members, a_weight_that_was_set_holds_until_the_config_changes_it)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 2);
	pool_open(&pool);
	upstream_set_weight(pool.upstream, "10.0.0.1:80", 7);
	upstream_set_weight(pool.upstream, "10.0.0.2:80", 8);
	reload();
	cr_expect_str_eq(members(), "10.0.0.1:80*7, 10.0.0.2:80*8");
	pool.endpoints[0].weight = 3;
	reload();
	cr_expect_str_eq(members(), "10.0.0.1:80*3, 10.0.0.2:80*8");
	pool.endpoints[0].weight = 1;
	reload();
	cr_expect_str_eq(members(), "10.0.0.1:80*1, 10.0.0.2:80*8");
}

/* A backup only where no entry wants it as a primary; the greatest weight, then the first entry. */
Test(members, an_address_named_twice_is_one_endpoint)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 3);
	for (int i = 0; i < 3; i++)
		pool.endpoints[i].address = pool.endpoints[0].address;
	pool.endpoints[0].backup = true;
	pool.endpoints[0].weight = 100;
	pool.endpoints[1].weight = 2;
	pool.endpoints[2].weight = 5;
	pool_open(&pool);
	cr_expect_str_eq(members(), "10.0.0.1:80*5");
	pool.endpoints[2].weight = 1;
	reload();
	cr_expect_str_eq(members(), "10.0.0.1:80*2");
}

Test(members, a_name_stands_for_all_its_addresses)
{
	const struct resolved answer[] = {address("10.0.0.8:80"), address("[fe80::1]:80"),
					  address("10.0.0.8:80"), address("10.0.0.7:80"),
					  address("[::ffff:10.0.0.8]:80")};
	struct endpoint *held;

	pool_init(&pool, BALANCE_ROUND_ROBIN, 0);
	add_name("backend.example.org:80", ENDPOINT_NAME)->weight = 4;
	pool_open(&pool);
	cr_expect_eq(pool_visit(&pool, NULL), -EAGAIN);
	cr_expect_str_eq(members(), "");
	resolve(0, answer, 5);
	cr_expect_str_eq(members(), "10.0.0.8:80*4, [fe80::1]:80*4, 10.0.0.7:80*4");

	/* A flow is with the first; the last one is in the next answer. */
	held = pool_pick(&pool);
	cr_assert_str_eq(endpoint_name(held), "10.0.0.8:80");
	resolve(0, answer + 3, 1);
	cr_expect_str_eq(members(), "10.0.0.7:80*4, 10.0.0.8:80*4 leaving");
	for (int i = 0; i < 5; i++)
		cr_expect_eq(pool_visit(&pool, NULL), 6);
	endpoint_release(held);
	cr_expect_str_eq(members(), "10.0.0.7:80*4");

	/* A reload keeps the answer; one that says that there is none does not. */
	reload();
	cr_expect_str_eq(members(), "10.0.0.7:80*4");
	resolve(0, NULL, 0);
	cr_expect_str_eq(members(), "");
	cr_expect_eq(pool_visit(&pool, NULL), -EHOSTUNREACH);
}

Test(members, addresses_differ_by_port_and_zone)
{
	struct resolved answer[] = {address("10.0.0.8:80"), address("10.0.0.8:81"),
				    address("[fe80::1]:80"), address("[fe80::1]:80")};

	answer[3].address.ipv6.sin6_scope_id = 1;
	pool_init(&pool, BALANCE_ROUND_ROBIN, 0);
	add_name("backend.example.org:80", ENDPOINT_NAME);
	pool_open(&pool);
	resolve(0, answer, 4);
	cr_expect_str_eq(members(), "10.0.0.8:80*1, 10.0.0.8:81*1, [fe80::1]:80*1, "
				    "[fe80::1%lo]:80*1");
}

Test(members, a_reload_finds_names_by_their_text)
{
	const struct resolved first = address("10.0.0.7:80"), second = address("10.0.0.8:80");

	pool_init(&pool, BALANCE_ROUND_ROBIN, 0);
	add_name("a.example.org:80", ENDPOINT_NAME);
	add_name("b.example.org:80", ENDPOINT_NAME);
	pool_open(&pool);
	resolve(0, &first, 1);
	resolve(1, &second, 1);
	remove_entry(0);
	reload();
	cr_expect_str_eq(members(), "10.0.0.8:80*1");
}

Test(members, srv_records_have_weights_and_priorities)
{
	struct resolved answer[] = {address("10.0.0.7:80"), address("10.0.0.8:80"),
				    address("10.0.0.9:80")};

	answer[0].weight = 30;
	answer[1].backup = true;
	answer[2].weight = 1000;
	pool_init(&pool, BALANCE_ROUND_ROBIN, 0);
	add_name("_http._tcp.example.org", ENDPOINT_SRV)->weight = 2;
	pool_open(&pool);
	resolve(0, answer, 3);
	cr_expect_str_eq(members(), "10.0.0.7:80*30, 10.0.0.8:80*2 backup, 10.0.0.9:80*1000");
	/* The DNS does not undo a command, the config does. */
	upstream_set_weight(pool.upstream, "10.0.0.7:80", 5);
	answer[0].weight = 40;
	resolve(0, answer, 3);
	cr_expect_str_eq(members(), "10.0.0.7:80*5, 10.0.0.8:80*2 backup, 10.0.0.9:80*1000");
	pool.endpoints[0].weight = 3;
	reload();
	cr_expect_str_eq(members(), "10.0.0.7:80*40, 10.0.0.8:80*3 backup, 10.0.0.9:80*1000");
}

/* A name, of whose two addresses the first alone is known. */
static void open_name(const struct resolved *answer)
{
	pool_init(&pool, BALANCE_ROUND_ROBIN, 0);
	add_name("backend.example.org:80", ENDPOINT_NAME);
	pool_open(&pool);
	resolve(0, answer, 1);
}

Test(members, commands_on_a_name_hold_for_addresses_to_come)
{
	const struct resolved answer[] = {address("10.0.0.7:80"), address("10.0.0.8:80")};

	open_name(answer);
	cr_assert_eq(upstream_drain(pool.upstream, "backend.example.org:80", true), 0);
	cr_assert_eq(upstream_set_weight(pool.upstream, "backend.example.org:80", 6), 0);
	resolve(0, answer, 2);
	reload();
	cr_expect_str_eq(members(), "10.0.0.7:80*6 drained, 10.0.0.8:80*6 drained");
	cr_assert_eq(upstream_drain(pool.upstream, "10.0.0.8:80", false), 0);
	cr_expect_str_eq(members(), "10.0.0.7:80*6 drained, 10.0.0.8:80*6");
	cr_assert_eq(upstream_drain(pool.upstream, "backend.example.org:80", false), 0);
	cr_expect_str_eq(members(), "10.0.0.7:80*6, 10.0.0.8:80*6");
}

/* Also for one that had left the answer, but not with its last flow, when the command came. */
Test(members, commands_on_a_name_hold_for_addresses_that_return)
{
	const struct resolved answer[] = {address("10.0.0.7:80"), address("10.0.0.8:80")};
	struct endpoint *held;

	open_name(answer);
	held = pool_pick(&pool);
	resolve(0, &answer[1], 1);
	cr_assert_eq(upstream_drain(pool.upstream, "backend.example.org:80", true), 0);
	cr_assert_eq(upstream_set_weight(pool.upstream, "backend.example.org:80", 6), 0);
	resolve(0, answer, 2);
	cr_expect_str_eq(members(), "10.0.0.7:80*6 draining, 10.0.0.8:80*6 drained");
	endpoint_release(held);
}

/* Whether it was there for each of the commands or not: of those on it and on its name. */
Test(members, the_newest_command_holds)
{
	const struct resolved answer[] = {address("10.0.0.7:80"), address("10.0.0.8:80")};
	struct endpoint *held;

	open_name(answer);
	held = pool_pick(&pool);
	cr_assert_eq(upstream_drain(pool.upstream, "backend.example.org:80", true), 0);
	cr_assert_eq(upstream_set_weight(pool.upstream, "backend.example.org:80", 6), 0);
	resolve(0, &answer[1], 1);
	cr_expect_str_eq(members(), "10.0.0.8:80*6 drained, 10.0.0.7:80*6 leaving");
	cr_assert_eq(upstream_drain(pool.upstream, "backend.example.org:80", false), 0);
	cr_assert_eq(upstream_set_weight(pool.upstream, "backend.example.org:80", 3), 0);
	/* A reload changes nothing of that. */
	reload();
	resolve(0, answer, 2);
	cr_expect_str_eq(members(), "10.0.0.7:80*3, 10.0.0.8:80*3");
	/* The name first, and then the address against it. */
	cr_assert_eq(upstream_drain(pool.upstream, "backend.example.org:80", true), 0);
	cr_assert_eq(upstream_drain(pool.upstream, "10.0.0.7:80", false), 0);
	cr_assert_eq(upstream_set_weight(pool.upstream, "10.0.0.7:80", 9), 0);
	resolve(0, &answer[1], 1);
	resolve(0, answer, 2);
	cr_expect_str_eq(members(), "10.0.0.7:80*9, 10.0.0.8:80*3 drained");
	endpoint_release(held);
}

Test(members, only_names_are_resolved)
{
	const struct resolved answer = address("10.0.0.7:80");

	pool_init(&pool, BALANCE_ROUND_ROBIN, 1);
	pool_open(&pool);
	cr_expect_eq(upstream_resolved(pool.upstream, 0, &answer, 1, pool.now), -EINVAL);
	cr_expect_eq(upstream_resolved(pool.upstream, 1, &answer, 1, pool.now), -EINVAL);
	cr_expect_str_eq(members(), "10.0.0.1:80*1");
}
