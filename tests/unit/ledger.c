// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <stdint.h>

#include "sidelane/ledger.h"

#define WINDOW (64U * 1024)
#define GIB    (1024ULL * 1024 * 1024)

Test(ledger, rule_for_every_combination)
{
	enum {
		SAME,
		BEHIND
	};
	enum {
		EMPTY,
		ROOM_FOR_IT,
		ONE_BYTE_SHORT,
		FULL
	};
	static const uint32_t held[] = {0, WINDOW - 1000, WINDOW - 999, WINDOW};
	static const struct {
		uint32_t lane;
		int relayed, budget;
		enum sl_verdict verdict;
	} cases[] = {
		{SL_LANE_KERNEL, SAME, EMPTY, SL_REDIRECT},
		{SL_LANE_KERNEL, SAME, ROOM_FOR_IT, SL_REDIRECT},
		{SL_LANE_KERNEL, SAME, ONE_BYTE_SHORT, SL_LOOK},
		{SL_LANE_KERNEL, SAME, FULL, SL_LOOK},
		{SL_LANE_KERNEL, BEHIND, EMPTY, SL_PASS},
		{SL_LANE_KERNEL, BEHIND, ROOM_FOR_IT, SL_PASS},
		{SL_LANE_KERNEL, BEHIND, ONE_BYTE_SHORT, SL_PASS},
		{SL_LANE_KERNEL, BEHIND, FULL, SL_PASS},
		{SL_LANE_RELAY, SAME, EMPTY, SL_PASS},
		{SL_LANE_RELAY, SAME, ROOM_FOR_IT, SL_PASS},
		{SL_LANE_RELAY, SAME, ONE_BYTE_SHORT, SL_PASS},
		{SL_LANE_RELAY, SAME, FULL, SL_PASS},
		{SL_LANE_RELAY, BEHIND, EMPTY, SL_PASS},
		{SL_LANE_RELAY, BEHIND, ROOM_FOR_IT, SL_PASS},
		{SL_LANE_RELAY, BEHIND, ONE_BYTE_SHORT, SL_PASS},
		{SL_LANE_RELAY, BEHIND, FULL, SL_PASS},
		/* A lane of a later version: only the kernel lane redirects. */
		{SL_LANE_KERNEL + 1, SAME, EMPTY, SL_PASS},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int part = 0; part < 2; part++) {
			const uint32_t charge = held[cases[i].budget];
			const struct sl_published half = {
				.lane = cases[i].lane,
				.window = WINDOW,
				.relayed = 5 * GIB - (cases[i].relayed == BEHIND),
			};
			const struct sl_ledger ledger = {
				.passed = 5 * GIB,
				/* In the backlog or in the send queue: it is all the same. */
				.budget = {.backlog = part ? charge : 0,
					   .queued = part ? 0 : charge},
			};

			cr_expect_eq(sl_rule(&ledger, &half, 1000), cases[i].verdict, "case %zu",
				     i);
		}
}

Test(ledger, rule_looks_at_all_64_bits_of_the_counts)
{
	const struct sl_ledger ledger = {.passed = 4 * GIB};
	const struct sl_published half = {.lane = SL_LANE_KERNEL, .window = WINDOW};

	cr_assert_eq(sl_rule(&ledger, &half, 1), SL_PASS);
}

Test(ledger, rule_does_not_wrap_at_the_largest_window)
{
	const struct sl_published half = {.lane = SL_LANE_KERNEL, .window = GIB};
	struct sl_ledger ledger = {.budget = {.queued = 3 * GIB, .backlog = GIB}};

	cr_assert_eq(sl_rule(&ledger, &half, 1), SL_LOOK);
	ledger.budget = (struct sl_budget){.backlog = GIB - 1};
	cr_assert_eq(sl_rule(&ledger, &half, 1), SL_REDIRECT);
	cr_assert_eq(sl_rule(&ledger, &half, UINT32_MAX), SL_LOOK);
}

/*
 * Bytes are redirected behind others that were relayed; the destination's sequence numbers wrap
 * anywhere before, in or behind them.
 */
Test(ledger, settle_finds_the_base_wherever_write_seq_wraps)
{
	static const uint64_t passed[] = {0, 1, 1000, 4 * GIB - 1, 4 * GIB, 9 * GIB + 77};

	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		for (uint32_t offset = 0; offset <= 3000; offset += 50) {
			/* proxyd has sent all that was passed, and nothing was redirected yet. */
			const uint32_t write_seq = UINT32_MAX - 2000 + offset;
			struct sl_ledger ledger = {.passed = passed[i]};

			sl_ledger_settle(&ledger, write_seq, 0);
			cr_assert_eq((uint32_t)(write_seq - ledger.base), (uint32_t)passed[i]);
			sl_ledger_redirect(&ledger, WINDOW, 1000, 1500);
			sl_ledger_settle(&ledger, write_seq + 999, 700);
			cr_assert_eq(sl_budget_held(&ledger.budget), 1500 + 700);
			sl_ledger_settle(&ledger, write_seq + 1000, 700);
			cr_assert_eq(sl_budget_held(&ledger.budget), 700);
		}
}

Test(ledger, settle_moves_the_base_only_until_bytes_are_redirected)
{
	struct sl_ledger ledger = {0};

	sl_ledger_settle(&ledger, 5000, 0);
	cr_assert_eq(ledger.base, 5000);
	ledger.passed = 300; /* and relayed */
	sl_ledger_settle(&ledger, 5300, 0);
	cr_assert_eq(ledger.base, 5000);
	sl_ledger_redirect(&ledger, WINDOW, 100, 500);
	sl_ledger_settle(&ledger, 5350, 0);
	cr_assert_eq(ledger.base, 5000);
	cr_assert_eq(sl_budget_held(&ledger.budget), 500);
}

/* Bytes that proxyd sent before the socket was enrolled are in write_seq, but not in the ledger. */
Test(ledger, settle_finds_the_base_of_a_socket_that_was_enrolled_late)
{
	struct sl_ledger ledger = {.passed = 10};

	sl_ledger_settle(&ledger, 123456 + 10, 0);
	cr_assert_eq(ledger.base, 123456);
}

/*
 * A direction may go back to the relay with a charge left, and stay there for any number of bytes.
 * When it comes back to the kernel lane, nothing is held any more, so all of the window is free.
 */
Test(ledger, settle_after_gigabytes_in_the_relay_releases_what_was_charged_before)
{
	for (uint64_t relayed = GIB / 2; relayed <= 5 * GIB; relayed += GIB / 2) {
		struct sl_ledger ledger = {0};
		uint32_t write_seq = 1;

		sl_ledger_settle(&ledger, write_seq, 0);
		sl_ledger_redirect(&ledger, WINDOW, WINDOW - 1000, WINDOW);
		ledger.passed += relayed;
		write_seq += WINDOW - 1000 + (uint32_t)relayed;
		sl_ledger_settle(&ledger, write_seq, 0);
		cr_expect_eq(sl_budget_held(&ledger.budget), 0,
			     "%llu MiB relayed: %llu bytes are held, says the budget",
			     (unsigned long long)relayed >> 20,
			     (unsigned long long)sl_budget_held(&ledger.budget));
	}
}

Test(ledger, complete_misses_no_byte_before_the_end)
{
	const struct sl_ledger ledger = {.redirected = 5 * GIB, .passed = 1000};
	const uint64_t before = 300; /* read before the socket was enrolled */
	const uint64_t received = before + 5 * GIB + 1000;

	/* Behind a FIN, which is received as a byte. */
	cr_expect(sl_ledger_complete(&ledger, 1000, before + 1000, received + 1));
	cr_expect_not(sl_ledger_complete(&ledger, 999, before + 999, received + 1));
	/* Behind a RST alone, where the last byte is as easily taken for a FIN. */
	cr_expect(sl_ledger_complete(&ledger, 1000, before + 1000, received));
	cr_expect_not(sl_ledger_complete(&ledger, 999, before + 999, received));
	/* What a stream parser has not shown to the verdict program yet. */
	cr_expect_not(sl_ledger_complete(&ledger, 1000, before + 1000, received + 2));
}

Test(ledger, redirect_counts_bytes_skbs_and_memory)
{
	struct sl_ledger ledger = {.passed = 7};

	sl_ledger_redirect(&ledger, WINDOW, 100, 700);
	sl_ledger_redirect(&ledger, WINDOW, 50, 600);
	cr_assert_eq(ledger.redirected, 150);
	cr_assert_eq(ledger.skbs, 2);
	cr_assert_eq(ledger.passed, 7);
	cr_assert_eq(sl_ledger_position(&ledger), 157);
	cr_assert_eq(sl_budget_held(&ledger.budget), 1300);
}

/* An episode: from the first byte passed until proxyd has caught up. */
Test(ledger, pass_wakes_proxyd_once_in_an_episode)
{
	struct sl_published half = {.lane = SL_LANE_KERNEL, .window = WINDOW};
	struct sl_ledger ledger = {0};

	for (int episode = 0; episode < 3; episode++) {
		cr_assert(sl_ledger_pass(&ledger, &half, 100));
		for (int i = 0; i < 5; i++)
			cr_assert_not(sl_ledger_pass(&ledger, &half, 1));
		half.relayed = ledger.passed - 1;
		cr_assert_not(sl_ledger_pass(&ledger, &half, 1), "one byte is still to be relayed");
		half.relayed = ledger.passed;
	}
	cr_assert_eq(ledger.passed, 3 * 106);
	cr_assert_eq(ledger.redirected, 0);
}

/* In the relay lane epoll wakes it. */
Test(ledger, pass_wakes_nobody_in_the_relay_lane)
{
	const struct sl_published half = {.lane = SL_LANE_RELAY, .window = WINDOW};
	struct sl_ledger ledger = {0};

	cr_assert_not(sl_ledger_pass(&ledger, &half, 100));
	cr_assert_eq(ledger.passed, 100);
}
