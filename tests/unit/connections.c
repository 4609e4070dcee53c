// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How flows are called one by one, and what is told of one (control/connections.h). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "control/connections.h"
#include "flow/roll.h"
#include "unit/address.h"

#define MANY 1000U

Test(roll, calls_each_once)
{
	static uint64_t who[MANY];
	uint32_t places[MANY], place = 0;
	struct roll roll = {0};

	cr_expect_null(roll_next(&roll, &place));
	for (unsigned int i = 0; i < MANY; i++)
		cr_assert_eq(roll_add(&roll, &who[i], &places[i]), 0);
	for (unsigned int i = 0; roll_next(&roll, &place); i++, place++)
		++*(uint64_t *)roll_next(&roll, &place);
	for (unsigned int i = 0; i < MANY; i++)
		cr_expect_eq(who[i], 1, "%u was called %lu times", i, who[i]);
	roll_clear(&roll);
}

/* Whoever is there all the while is met once, although a neighbour goes and another comes. */
Test(roll, holds_places_while_others_come_and_go)
{
	static uint64_t who[MANY], others[MANY];
	uint32_t places[MANY], other_places[MANY], place = 0;
	struct roll roll = {0};
	unsigned int met = 0;
	void *next;

	for (unsigned int i = 0; i < MANY; i++) {
		roll_add(&roll, &who[i], &places[i]);
		roll_add(&roll, &others[i], &other_places[i]);
	}
	for (unsigned int i = 0; (next = roll_next(&roll, &place)); i++, place++) {
		met += next >= (void *)who && next < (void *)(who + MANY);
		if (i >= MANY)
			continue;
		roll_remove(&roll, other_places[i]);
		if (i % 3)
			roll_add(&roll, &others[i], &other_places[i]);
	}
	cr_expect_eq(met, MANY);
	cr_expect_leq(roll.size, 4 * MANY, "places are not used again");
	roll_clear(&roll);
}

static struct account example(void)
{
	struct account account = {
		.id = 64,
		.age_ms = 1500,
		.idle_ms = 20,
		.bytes = {{1, 2, 3}, {10, 20, 1ULL << 40}},
		.lanes = {ACCOUNT_DIRECT, ACCOUNT_KERNEL},
		.state = FLOW_OPEN,
		.offer = ACCOUNT_OFFERED,
		.reasons = {SL_REASON_NONE, SL_REASON_PROGRAM},
		.listener = "web",
	};

	account.client = address_of("[2001:db8::1]:80");
	account.endpoint = address_of("127.0.0.1:8080");
	return account;
}

static void expect_text(const json_t *object, const char *key, const char *expected)
{
	const char *text = json_string_value(json_object_get(object, key));

	cr_expect_str_eq(text ? text : "(null)", expected, "%s: %s", key, text);
}

static json_int_t number(const json_t *object, const char *key)
{
	cr_expect(json_is_integer(json_object_get(object, key)), "%s is no integer", key);
	return json_integer_value(json_object_get(object, key));
}

Test(connections, tell_of_a_flow)
{
	struct account account = example();
	json_t *flow = connection_json(&account);
	const json_t *bytes = json_object_get(flow, "bytes");

	cr_assert_not_null(flow);
	expect_text(flow, "state", "open");
	expect_text(flow, "client", "[2001:db8::1]:80");
	expect_text(flow, "endpoint", "127.0.0.1:8080");
	expect_text(flow, "listener", "web");
	cr_expect(json_is_null(json_object_get(flow, "upstream")));
	cr_expect(json_is_null(json_object_get(flow, "source")));
	cr_expect_eq(number(flow, "age_ms"), 1500);
	cr_expect_eq(number(bytes, "direct"), (1LL << 40) + 3);
	cr_expect_eq(number(bytes, "relay"), 11);
	cr_expect_eq(number(json_object_get(bytes, "up"), "kernel"), 2);
	cr_expect_eq(number(json_object_get(bytes, "down"), "kernel"), 20);
	expect_text(json_object_get(flow, "lanes"), "up", "direct");
	expect_text(json_object_get(flow, "lanes"), "down", "kernel");
	expect_text(json_object_get(flow, "direct"), "client", "in_lane");
	expect_text(json_object_get(flow, "direct"), "server", "program");
	json_decref(flow);
}

Test(connections, say_why_a_flow_is_not_offered)
{
	static const struct {
		enum account_offer offer;
		const char *why;
	} cases[] = {
		{ACCOUNT_LIMITED, "limited"},
		{ACCOUNT_AWAITED, "traffic"},
		{ACCOUNT_NO_ROOM, "no_room"},
	};
	struct account account = example();
	json_t *flow;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		account.offer = (uint8_t)cases[i].offer;
		flow = connection_json(&account);
		expect_text(json_object_get(flow, "direct"), "client", cases[i].why);
		expect_text(json_object_get(flow, "direct"), "server", cases[i].why);
		json_decref(flow);
	}
	account.offer = ACCOUNT_NO_LANE;
	flow = connection_json(&account);
	cr_expect(json_is_null(json_object_get(flow, "direct")));
	json_decref(flow);
}
