// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <stdint.h>

#include "sidelane/direct.h"
#include "sidelane/offer.h"
#include "unit/seed.h"

#define ROOM (1024U * 1024)

/* --- The one rule ---------------------------------------------------------------------------- */

Test(direct, rule_for_every_combination)
{
	static const struct {
		struct sl_direct_view view;
		enum sl_direct_verdict verdict;
	} cases[] = {
		{{.written = 7, .read = 7, .room = ROOM, .size = 64}, SL_DIRECT_GO},
		{{.written = 7, .read = 7, .room = ROOM, .size = SL_DIRECT_WINDOW}, SL_DIRECT_GO},
		{{.written = 7, .read = 7, .room = ROOM, .size = SL_DIRECT_WINDOW + 1},
		 SL_DIRECT_FULL},
		{{.written = 7,
		  .read = 7,
		  .room = ROOM,
		  .queued = SL_DIRECT_WINDOW - 64,
		  .size = 64},
		 SL_DIRECT_GO},
		{{.written = 7,
		  .read = 7,
		  .room = ROOM,
		  .queued = SL_DIRECT_WINDOW - 63,
		  .size = 64},
		 SL_DIRECT_FULL},
		{{.written = 7, .read = 7, .room = ROOM, .queued = UINT32_MAX, .size = 64},
		 SL_DIRECT_FULL},
		{{.written = 7, .read = 7, .room = ROOM, .queued = 1, .size = UINT32_MAX},
		 SL_DIRECT_FULL},
		/* A small receive buffer halves. */
		{{.written = 7, .read = 7, .room = 4608, .size = 2304}, SL_DIRECT_GO},
		{{.written = 7, .read = 7, .room = 4608, .size = 2305}, SL_DIRECT_FULL},
		/* Short ones count, too. */
		{{.written = 7,
		  .read = 7,
		  .room = ROOM,
		  .size = 1,
		  .messages = SL_DIRECT_MESSAGES - 1},
		 SL_DIRECT_GO},
		{{.written = 7, .read = 7, .room = ROOM, .size = 1, .messages = SL_DIRECT_MESSAGES},
		 SL_DIRECT_FULL},
		/* One byte by TCP is not read yet, at either side of the wrap. */
		{{.written = 8, .read = 7, .room = ROOM, .size = 64}, SL_DIRECT_UNREAD},
		{{.written = 0, .read = UINT32_MAX, .room = ROOM, .size = 64}, SL_DIRECT_UNREAD},
		{{.written = 0, .read = 0, .room = ROOM, .size = 64}, SL_DIRECT_GO},
		{{.written = 7, .read = 7, .room = ROOM, .size = 64, .hindered = 1},
		 SL_DIRECT_HINDERED},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(sl_direct_rule(&cases[i].view), cases[i].verdict, "case %zu", i);
}

/* --- Who may take part ----------------------------------------------------------------------- */

Test(direct, every_fact_has_its_reason)
{
	static const struct sl_direct_facts fine = {.established = 1, .accepted = 1, .plain = 1};
	static const struct {
		struct sl_direct_facts facts;
		enum sl_direct_reason reason;
	} cases[] = {
		{{.established = 1, .accepted = 1, .plain = 1}, SL_REASON_NONE},
		{{.established = 1, .accepted = 1, .plain = 1, .lowat = 1}, SL_REASON_NONE},
		{{.accepted = 1, .plain = 1}, SL_REASON_STATE},
		{{.established = 1, .plain = 1}, SL_REASON_NOT_ACCEPTED},
		{{.established = 1, .accepted = 1}, SL_REASON_PROTOCOL},
		{{.established = 1, .accepted = 1, .plain = 1, .blocking = 1}, SL_REASON_BLOCKING},
		{{.established = 1, .accepted = 1, .plain = 1, .lowat = 2}, SL_REASON_LOWAT},
		{{.established = 1, .accepted = 1, .plain = 1, .zerocopy = 1}, SL_REASON_ZEROCOPY},
		{{.established = 1, .accepted = 1, .plain = 1, .timestamps = 1},
		 SL_REASON_TIMESTAMPS},
		{{.established = 1, .accepted = 1, .plain = 1, .urgent = 1}, SL_REASON_URGENT},
		{{.established = 1, .accepted = 1, .plain = 1, .sock_filter = 1},
		 SL_REASON_SOCK_FILTER},
		{{.established = 1, .accepted = 1, .plain = 1, .option = 1}, SL_REASON_OPTION},
		{{.established = 1, .accepted = 1, .plain = 1, .pressure = 1}, SL_REASON_MEMORY},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(sl_direct_eligible(&cases[i].facts), cases[i].reason, "case %zu", i);
	cr_assert_eq(sl_direct_eligible(&fine), SL_REASON_NONE);
}

/* --- Filters --------------------------------------------------------------------------------- */

Test(direct, filters_hold_either_end_up_to_their_count)
{
	static const struct sl_address_range ranges[SL_FILTER_MAX] = {
		{.address = {0, 0, 3, 0x0a000000}, .mask = {~0U, ~0U, ~0U, 0xff000000}},
		{.address = {1, 0, 0, 0}, .mask = {~0U, ~0U, ~0U, ~0U}},
	};
	static const struct sl_number_range ports[SL_FILTER_MAX] = {{80, 80}, {440, 443}};
	static const struct sl_number_range uids[SL_FILTER_MAX] = {{0, 0}, {33, 40}};
	struct sl_direct_subject subject = {
		.local_ip = {0, 0, 3, 0x0a123456},
		.remote_ip = {9, 9, 9, 9},
		.local_port = 9,
		.remote_port = 443,
	};

	cr_expect(sl_ports_hold(ports, 2, &subject));
	cr_expect_not(sl_ports_hold(ports, 1, &subject));
	cr_expect_not(sl_ports_hold(ports, 0, &subject));
	cr_expect(sl_numbers_hold(uids, 1, 0));
	cr_expect_not(sl_numbers_hold(uids, 1, 33));
	cr_expect_not(sl_numbers_hold(uids, 0, 0));
	cr_expect(sl_numbers_hold(uids, 2, 33));
	cr_expect(sl_numbers_hold(uids, 2, 40));
	cr_expect_not(sl_numbers_hold(uids, 2, 32));
	cr_expect_not(sl_numbers_hold(uids, 2, 41));
	cr_expect(sl_ranges_hold(ranges, 1, &subject));
	cr_expect_not(sl_ranges_hold(ranges, 0, &subject));
	subject.local_ip[3] = 0x0b123456;
	cr_expect_not(sl_ranges_hold(ranges, 2, &subject));
	subject.remote_ip[0] = 1;
	subject.remote_ip[1] = subject.remote_ip[2] = subject.remote_ip[3] = 0;
	cr_expect(sl_ranges_hold(ranges, 2, &subject));
}

/* --- What pays ------------------------------------------------------------------------------- */

Test(direct, dialogue_needs_turns_of_few_bytes)
{
	struct sl_dialogue sample = {0}, now = {0};

	for (int turn = 1; turn < SL_DIALOGUE_TURNS; turn++) {
		now.in++;
		now.out++;
		now.bytes += 128;
		cr_assert_eq(sl_dialogue_sample(&sample, &now), SL_DIALOGUE_OPEN, "turn %d", turn);
	}
	now.in++;
	cr_assert_eq(sl_dialogue_sample(&sample, &now), SL_DIALOGUE_OPEN);
	now.out++;
	cr_assert_eq(sl_dialogue_sample(&sample, &now), SL_DIALOGUE_YES);
	cr_assert_eq(sl_dialogue_sample(&sample, &now), SL_DIALOGUE_OPEN, "a sample begins anew");
}

Test(direct, bulk_is_no_dialogue)
{
	struct sl_dialogue sample = {0};
	struct sl_dialogue quick = {.in = 9000, .out = 9000, .bytes = 9000 * 2048};
	struct sl_dialogue answers = {.in = 30, .out = 200, .bytes = 30 * 100 * 1024};
	struct sl_dialogue one_way = {.in = 100000, .out = 3, .bytes = 64 * 1024};

	cr_assert_eq(sl_dialogue_sample(&sample, &answers), SL_DIALOGUE_NO, "100 KB a turn");
	sample = (struct sl_dialogue){0};
	cr_assert_eq(sl_dialogue_sample(&sample, &quick), SL_DIALOGUE_YES, "2 KB a turn");
	sample = (struct sl_dialogue){0};
	cr_assert_eq(sl_dialogue_sample(&sample, &one_way), SL_DIALOGUE_OPEN);
}

Test(direct, dialogue_survives_wrapping_segment_counters)
{
	struct sl_dialogue sample = {.in = UINT32_MAX - 3, .out = UINT32_MAX};
	struct sl_dialogue now = {.in = 40, .out = 40, .bytes = 1000};

	cr_assert_eq(sl_dialogue_sample(&sample, &now), SL_DIALOGUE_YES);
}

Test(direct, shares_tell_bulk_when_most_went_by_tcp)
{
	struct sl_shares sample = {0}, now = {.direct = 1, .passed = 1024};

	cr_assert_not(sl_shares_bulk(&sample, &now), "too little to tell");
	now.passed = 1 << 20;
	cr_assert(sl_shares_bulk(&sample, &now));
	cr_assert_not(sl_shares_bulk(&sample, &now), "a sample begins anew");
	now.direct += 1 << 20;
	now.passed += 1 << 19;
	cr_assert_not(sl_shares_bulk(&sample, &now));
}

/* --- How ends find each other ---------------------------------------------------------------- */

Test(direct, mirrored_keys_meet_wherever_the_numbers_wrap)
{
	static const uint32_t numbers[] = {0, 1, 77, INT32_MAX, UINT32_MAX - 1, UINT32_MAX};
	const size_t count = sizeof(numbers) / sizeof(numbers[0]);

	for (size_t i = 0; i < count * count; i++) {
		const uint32_t mine = numbers[i % count], theirs = numbers[i / count];
		/* A SYN takes a number; who has connected has it among his acknowledged bytes. */
		const struct sl_end_key connected = {
			.netns = 3, .first_in = theirs + 1, .first_out = mine};
		const struct sl_end_key accepted = {
			.netns = 3, .first_in = mine + 1, .first_out = theirs + 1};
		const struct sl_end_key from_connected = sl_end_key_mirror(&connected, 1);
		const struct sl_end_key from_accepted = sl_end_key_mirror(&accepted, 0);

		cr_assert_arr_eq(&from_connected, &accepted, sizeof(accepted));
		cr_assert_arr_eq(&from_accepted, &connected, sizeof(connected));
	}
}

Test(direct, translated_ends_are_told_by_their_addresses)
{
	const struct sl_direct_subject client = {.local_ip = {1, 2, 3, 4},
						 .remote_ip = {5, 6, 7, 8},
						 .local_port = 9,
						 .remote_port = 10};
	const struct sl_direct_subject server = {.local_ip = {5, 6, 7, 8},
						 .remote_ip = {1, 2, 3, 4},
						 .local_port = 10,
						 .remote_port = 9};

	cr_assert(sl_subjects_mirrored(&client, &server));
	cr_assert_not(sl_subjects_mirrored(&client, &client));
	for (size_t i = 0; i < 10; i++) {
		struct sl_direct_subject odd = server;

		if (i < 8)
			(i < 4 ? odd.local_ip : odd.remote_ip)[i % 4]++;
		else
			(*(i == 8 ? &odd.local_port : &odd.remote_port))++;
		cr_expect_not(sl_subjects_mirrored(&client, &odd), "part %zu", i);
	}
}

Test(direct, holders_are_noted_and_too_many_are_told)
{
	struct sl_end end = {.holders = 0};

	for (__u32 fd = 0; fd < SL_HOLDERS; fd++) {
		const struct sl_holder holder = {.pid = 7, .tgid = 6, .fd = fd};

		sl_end_held(&end, &holder);
		cr_assert_eq(end.holders, fd + 1);
	}
	for (int i = 0; i < 3; i++) {
		const struct sl_holder holder = {.pid = 9};

		sl_end_held(&end, &holder);
		cr_assert_eq(end.holders, SL_HOLDERS + 1, "and stays so");
	}
	for (__u32 fd = 0; fd < SL_HOLDERS; fd++)
		cr_assert(end.holder[fd].pid == 7 && end.holder[fd].fd == fd);
}

Test(direct, an_end_that_is_refused_rests_after_some_attempts)
{
	struct sl_end end = {.state = SL_END_WANTED};

	for (end.visits = 1; end.visits < SL_PATIENCE; end.visits++) {
		sl_end_refused(&end);
		cr_assert_eq(end.state, SL_END_WANTED);
	}
	sl_end_refused(&end);
	cr_assert_eq(end.state, SL_END_WATCHED);
	cr_assert_eq(end.rest, SL_REST);
	cr_assert_eq(end.reason, SL_REASON_READING);
}

/* By way of proxyd's two sockets each end finds the other's key and the same byte of the stream. */
Test(direct, offers_lead_to_the_other_end_of_the_flow)
{
	static const uint32_t numbers[] = {0, 1, INT32_MAX, UINT32_MAX - 1, UINT32_MAX};
	const size_t count = sizeof(numbers) / sizeof(numbers[0]);

	for (size_t i = 0; i < count * count * count; i++) {
		/* Of SYNs: the client's, proxyd's answer, proxyd's to the server, the server's. */
		const uint32_t c = numbers[i % count], d = numbers[i / count % count];
		const uint32_t u = numbers[i / count / count], b = c ^ 0x5a5a5a5a;
		/* PROXY headers: sent less taken. */
		const uint32_t added = (uint32_t)(i % 3) * 28 - 28;
		const struct sl_end_key client = {.netns = 3, .first_in = d + 1, .first_out = c};
		const struct sl_end_key server = {
			.netns = 3, .first_in = u + 1, .first_out = b + 1};
		const struct sl_offer downstream = {
			.side = 0,
			.added = added,
			.key = {.netns = 3, .first_in = c + 1, .first_out = d + 1}};
		const struct sl_offer upstream = {
			.side = 1, .key = {.netns = 3, .first_in = b + 1, .first_out = u}};
		const struct sl_end_key near_client = sl_offer_near(&downstream);
		const struct sl_end_key near_server = sl_offer_near(&upstream);

		cr_assert_arr_eq(&near_client, &client, sizeof(client));
		cr_assert_arr_eq(&near_server, &server, sizeof(server));
		/* Byte n has number SYN + 1 + n at each sender, and at each receiver but for
		 * headers. */
		cr_assert_eq(c + 1 + 77 - sl_offer_shift(&downstream, &server), u + 1 + 77 + added);
		cr_assert_eq(b + 1 + 77 - sl_offer_shift(&upstream, &client), d + 1 + 77);
	}
}

/* --- The life of two ends -------------------------------------------------------------------- */

struct side {
	struct sl_end end;
	struct sl_record record;
	int in_map, unread, in_flight; /* messages; in flight to the other side's queue */
	int calls;                     /* going on, of whatever kind */
	int closed;
	enum sl_direct_reason reason;
};

struct scene {
	struct side sides[2];
	int eventful; /* messages went direct */
	int left;
};

static void visit(struct scene *scene, int who)
{
	struct side *side = &scene->sides[who], *other = &scene->sides[!who];
	struct sl_visit visit = {
		.reason = side->reason,
		.dialogue = SL_DIALOGUE_YES,
		.busy = side->calls > 0,
		.unread = side->unread > 0,
		.ended = (__u32)other->closed,
		.met = !other->closed && other->record.cookie,
		.state = other->record.state,
		.silent = other->record.silent,
	};

	switch (sl_end_visit(&side->end, &visit)) {
	case SL_ENROL:
		cr_assert_not(side->in_map);
		cr_assert_eq(side->unread, 0, "what waits is not moved");
		side->in_map = 1;
		sl_end_enrolled(&side->end, other->end.cookie, 0);
		break;
	case SL_LEAVE:
		cr_assert(side->in_map);
		cr_assert_eq(side->unread, 0, "unread bytes are lost");
		cr_assert_eq(other->in_flight, 0, "a message finds nobody");
		side->in_map = 0;
		scene->left++;
		sl_end_left(&side->end);
		break;
	case SL_STAY:
		break;
	}
	side->record.cookie = side->end.cookie;
	side->record.state = side->end.state;
	side->record.silent = side->end.silent;
}

/* What applications do between visits. A message is decided at its beginning, arrives later. */
static void live(struct scene *scene, int who, uint32_t dice)
{
	struct side *side = &scene->sides[who], *other = &scene->sides[!who];

	if (side->closed)
		return;
	if (dice % 4 == 0 && !side->calls) {
		side->calls = 1;
		/* Not in the map, it sends with TCP's own operations. */
		side->in_flight = side->in_map && side->end.on && other->in_map;
	} else if (dice % 4 == 1 && side->calls) {
		if (side->in_flight && !other->closed) {
			cr_assert(other->in_map, "a message finds nobody");
			scene->eventful++;
		}
		/* By TCP too: as where a verdict moves it. */
		other->unread += !other->closed;
		side->in_flight = side->calls = 0;
	} else if (dice % 4 == 2) {
		side->unread = 0;
	}
}

static void settle(struct scene *scene)
{
	for (int i = 0; i < 2; i++) {
		struct side *side = &scene->sides[i], *other = &scene->sides[!i];

		if (side->calls && !other->closed)
			other->unread++;
		side->in_flight = side->calls = 0;
	}
	for (int i = 0; i < 2; i++)
		scene->sides[i].unread = 0;
}

Test(direct, ends_leave_only_when_nothing_is_under_way)
{
	struct rng rng = seeded("direct");
	int eventful = 0, left = 0;

	for (int round = 0; round < 2000; round++) {
		struct scene scene = {.sides = {{.end.cookie = 1}, {.end.cookie = 2}}};

		for (int step = 0; step < 400; step++) {
			uint32_t dice = (uint32_t)rng_next(&rng);
			int who = dice >> 8 & 1;

			if (dice % 5 == 0)
				visit(&scene, who);
			else if (dice % 97 == 1)
				scene.sides[who].reason =
					scene.sides[who].reason ? 0 : SL_REASON_FILTERED;
			else
				live(&scene, who, dice >> 16);
		}
		/* It is stopped, and the applications go on reading: all are out soon. */
		scene.sides[0].reason = scene.sides[1].reason = SL_REASON_STOPPING;
		for (int step = 0; step < 6; step++) {
			settle(&scene);
			visit(&scene, 0);
			visit(&scene, 1);
		}
		cr_assert_not(scene.sides[0].in_map);
		cr_assert_not(scene.sides[1].in_map);
		eventful += scene.eventful;
		left += scene.left;
	}
	cr_assert_gt(eventful, 10000, "the scenes are dull");
	cr_assert_gt(left, 4000, "the scenes are dull");
}

Test(direct, an_end_whose_other_end_is_gone_leaves_when_the_connection_has_ended)
{
	struct scene scene = {.sides = {{.end.cookie = 1}, {.end.cookie = 2}}};

	for (int i = 0; i < 4; i++) {
		visit(&scene, 0);
		visit(&scene, 1);
	}
	cr_assert(scene.sides[0].end.on && scene.sides[1].end.on);
	scene.sides[0].unread = 1;
	scene.sides[1].closed = 1;
	scene.sides[0].reason = SL_REASON_STATE;
	visit(&scene, 0);
	cr_assert(scene.sides[0].in_map, "its application has not read all");
	cr_assert_eq(scene.sides[0].end.waits, SL_WAITS_READER);
	scene.sides[0].unread = 0;
	visit(&scene, 0);
	cr_assert_not(scene.sides[0].in_map);
}

/* What had to go by TCP before both ends were in the lane says nothing about the traffic. */
Test(direct, bytes_before_it_is_on_do_not_count_as_bulk)
{
	struct sl_end end = {.cookie = 1};
	struct sl_visit visit = {.dialogue = SL_DIALOGUE_YES, .met = 1, .state = SL_END_WANTED};

	cr_assert_eq(sl_end_visit(&end, &visit), SL_ENROL);
	sl_end_enrolled(&end, 2, 0);
	end.shares.passed = 1 << 20;
	visit.state = SL_END_ENROLLED;
	cr_assert_eq(sl_end_visit(&end, &visit), SL_STAY);
	cr_assert(end.on);
	cr_assert_not(sl_shares_bulk(&end.sampled, &end.shares));
	end.shares.passed += 1 << 20;
	cr_assert(sl_shares_bulk(&end.sampled, &end.shares));
	visit.bulk = 1;
	cr_assert_eq(sl_end_visit(&end, &visit), SL_STAY);
	cr_assert_not(end.on);
	cr_assert_eq(end.state, SL_END_LEAVING);
}

Test(direct, an_end_gives_up_on_one_that_never_comes)
{
	struct sl_end end = {.cookie = 1};
	struct sl_visit wanted = {.dialogue = SL_DIALOGUE_YES, .met = 1, .state = SL_END_WANTED};

	cr_assert_eq(sl_end_visit(&end, &wanted), SL_ENROL);
	sl_end_enrolled(&end, 2, 0);
	for (int i = 0; i < SL_PATIENCE - 1; i++) {
		cr_assert_eq(sl_end_visit(&end, &wanted), SL_STAY);
		cr_assert_eq(end.state, SL_END_ENROLLED);
		cr_assert_not(end.on);
	}
	cr_assert_eq(sl_end_visit(&end, &wanted), SL_LEAVE);
	sl_end_left(&end);
	/* It rests, longer each time. */
	for (unsigned int rests = 1; rests < 2 * SL_RESTS_MAX; rests++) {
		unsigned int visits = 0;

		while (sl_end_visit(&end, &wanted) != SL_ENROL)
			visits++;
		cr_assert_eq(visits,
			     SL_REST << (rests - 1 < SL_RESTS_MAX ? rests - 1 : SL_RESTS_MAX));
		sl_end_enrolled(&end, 2, 0);
		sl_end_left(&end);
	}
}
