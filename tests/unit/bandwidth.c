// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow/bandwidth.h"

#define KIB     1024ULL
#define MIB     (1024 * KIB)
#define START   5000000 /* us; any time */
#define STEP    500     /* us: how often the worker that is played here looks at its flows */
#define FOREVER UINT64_MAX

/* A flow that is played: it has `backlog` bytes to send. */
struct sender {
	struct share *share;
	uint64_t backlog;
	uint64_t sent;
	uint64_t at; /* asked for again at */
	uint64_t done_at;
};

static void serve(struct sender *sender, uint64_t now)
{
	while (sender->backlog && sender->at <= now) {
		uint32_t unread = sender->backlog < MIB ? (uint32_t)sender->backlog : MIB;
		uint32_t room = share_ask(sender->share, 0, unread, now, &sender->at);
		uint32_t took = room < sender->backlog ? room : (uint32_t)sender->backlog;

		if (!room)
			return;
		share_took(sender->share, 0, took, took < sender->backlog);
		sender->sent += took;
		if (sender->backlog != FOREVER)
			sender->backlog -= took;
		if (!sender->backlog)
			sender->done_at = now;
	}
}

/* Returns the bytes that all of them have sent from `from` to `to`, us behind START. */
static uint64_t play(struct sender *senders, unsigned int count, uint64_t from, uint64_t to)
{
	uint64_t before = 0, after = 0;

	for (unsigned int i = 0; i < count; i++)
		before += senders[i].sent;
	for (uint64_t now = from; now < to; now += STEP)
		for (unsigned int i = 0; i < count; i++)
			serve(&senders[i], START + now);
	for (unsigned int i = 0; i < count; i++)
		after += senders[i].sent;
	return after - before;
}

static struct sender *made(struct bandwidth *bandwidth, unsigned int count, uint64_t backlog)
{
	struct sender *senders = calloc(count, sizeof(*senders));

	for (unsigned int i = 0; i < count; i++) {
		cr_assert_eq(share_new(bandwidth, &senders[i].share), 0);
		senders[i].backlog = backlog;
	}
	return senders;
}

static void gone(struct sender *senders, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		share_free(senders[i].share);
	free(senders);
}

static void expect_within(uint64_t actual, uint64_t expected, uint64_t tolerance, const char *what)
{
	cr_expect(actual <= expected + tolerance && actual + tolerance >= expected,
		  "%s: %lu, expected %lu", what, actual, expected);
}

static void expect_near(uint64_t actual, uint64_t expected, unsigned int percent, const char *what)
{
	expect_within(actual, expected, expected * percent / 100, what);
}

Test(bandwidth, hungry_flows_have_the_rate_and_equal_parts)
{
	static const uint64_t rates[] = {64 * KIB, MIB, 10 * MIB, 1000 * MIB, 4000 * MIB};
	static const unsigned int counts[] = {1, 2, 7, 100};

	for (int r = 0; r < 5; r++)
		for (int c = 0; c < 4; c++) {
			unsigned int count = counts[c];
			struct bandwidth *bandwidth;
			struct sender *senders;
			uint64_t before[100], sent;

			cr_assert_eq(bandwidth_new(rates[r], &bandwidth), 0);
			senders = made(bandwidth, count, FOREVER);
			play(senders, count, 0, 1000000);
			for (unsigned int i = 0; i < count; i++)
				before[i] = senders[i].sent;
			sent = play(senders, count, 1000000, 21000000);
			expect_near(sent, 20 * rates[r], 1, "in 20 seconds");
			/* Give or take a turn. */
			for (unsigned int i = 0; i < count; i++)
				expect_within(senders[i].sent - before[i], 20 * rates[r] / count,
					      4 * KIB + 20 * rates[r] / count / 50, "a flow");
			gone(senders, count);
			bandwidth_unref(bandwidth);
		}
}

Test(bandwidth, what_passes_at_once_is_bounded)
{
	struct bandwidth *bandwidth;
	struct sender *senders;
	uint64_t sent;

	cr_assert_eq(bandwidth_new(10 * MIB, &bandwidth), 0);
	senders = made(bandwidth, 50, FOREVER);
	/* 20 ms of the rate, and a turn. */
	sent = play(senders, 50, 0, STEP);
	cr_expect_leq(sent, 10 * MIB / 50 + 11 * KIB, "%lu bytes", sent);
	/* Nothing is saved up while nobody sends. */
	sent = play(senders, 50, 60000000, 60000000 + STEP);
	cr_expect_leq(sent, 10 * MIB / 50 + 50 * 11 * KIB, "%lu bytes after a pause", sent);
	gone(senders, 50);
	bandwidth_unref(bandwidth);
}

/* A crowd of flows that each end before anybody could have divided the rate anew. */
Test(bandwidth, short_flows_together_have_the_rate)
{
	const uint64_t rate = MIB, size = 10 * KIB;
	struct bandwidth *bandwidth;
	uint64_t sent = 0;

	cr_assert_eq(bandwidth_new(rate, &bandwidth), 0);
	/* 500 come in a second, for which 5 are needed. */
	struct sender *senders = made(bandwidth, 2500, size);

	for (unsigned int come = 0; come < 2500; come += 5)
		sent += play(senders, come + 5, come * 2000, come * 2000 + 10000);
	expect_near(sent, 5 * rate, 2, "while they come");
	sent += play(senders, 2500, 5000000, 30000000);
	cr_expect_eq(sent, 2500 * size);
	for (unsigned int i = 0; i < 2500; i++)
		cr_expect_lt(senders[i].done_at, START + 27000000, "flow %u is late", i);
	gone(senders, 2500);
	bandwidth_unref(bandwidth);
}

/* One that sends little is not held up as long as those that send much have to wait. */
Test(bandwidth, a_small_message_passes_within_a_round)
{
	struct bandwidth *bandwidth;
	struct sender *bulk, *small;

	cr_assert_eq(bandwidth_new(10 * MIB, &bandwidth), 0);
	bulk = made(bandwidth, 20, FOREVER);
	small = made(bandwidth, 1, 100);
	play(bulk, 20, 0, 1000000);
	for (uint64_t now = 1000000; now < 1100000 && small->backlog; now += STEP) {
		play(bulk, 20, now, now + STEP);
		serve(small, START + now);
	}
	cr_expect_eq(small->backlog, 0);
	/* 20 turns of a millisecond, and two ticks. */
	cr_expect_leq(small->done_at, START + 1000000 + 26000);
	gone(bulk, 20);
	gone(small, 1);
	bandwidth_unref(bandwidth);
}

/* Turns are given for what was said to wait; what came of it counts. */
Test(bandwidth, only_what_was_read_counts)
{
	struct bandwidth *bandwidth;
	struct share *share;
	uint64_t read = 0, at;
	uint32_t room;

	cr_assert_eq(bandwidth_new(MIB, &bandwidth), 0);
	cr_assert_eq(share_new(bandwidth, &share), 0);
	for (uint64_t now = START; now < START + 10000000; now += 100) {
		/* Said to be: all, nothing. Found: nothing, 1 KiB. */
		uint32_t said = now % 200 ? 64 * KIB : 0, found = now % 300 ? 0 : KIB;

		room = share_ask(share, 1, said, now, &at);
		if (!room)
			continue;
		share_took(share, 1, found, false);
		read += found;
	}
	expect_near(read, 10 * MIB, 2, "read in 10 seconds");
	share_free(share);
	bandwidth_unref(bandwidth);
}

Test(bandwidth, turns_of_those_who_leave_fall_to_others)
{
	struct bandwidth *bandwidth;
	struct sender *leaving, *staying;

	cr_assert_eq(bandwidth_new(MIB, &bandwidth), 0);
	leaving = made(bandwidth, 1000, FOREVER);
	play(leaving, 1000, 0, STEP);
	gone(leaving, 1000);
	staying = made(bandwidth, 1, FOREVER);
	expect_near(play(staying, 1, 0, 1000000), MIB, 3, "in the first second");
	gone(staying, 1);
	bandwidth_unref(bandwidth);
}

Test(bandwidth, directions_do_not_share)
{
	struct bandwidth *bandwidth;
	struct share *share;
	uint64_t at;

	cr_assert_eq(bandwidth_new(KIB, &bandwidth), 0);
	cr_assert_eq(share_new(bandwidth, &share), 0);
	cr_assert_gt(share_ask(share, 0, 4096, START, &at), 0);
	share_took(share, 0, 4096, true);
	cr_expect_eq(share_ask(share, 0, 4096, START, &at), 0);
	cr_expect_gt(share_ask(share, 1, 4096, START, &at), 0);
	share_free(share);
	bandwidth_unref(bandwidth);
}

Test(bandwidth, follows_a_change_of_the_rate)
{
	struct bandwidth *bandwidth;
	struct sender *senders;

	cr_assert_eq(bandwidth_new(KIB, &bandwidth), 0);
	senders = made(bandwidth, 100, FOREVER);
	/* Turns hundreds of seconds ahead. */
	play(senders, 100, 0, 100000);
	bandwidth_set_rate(bandwidth, MIB);
	/* After a second at the latest everybody has asked again. */
	play(senders, 100, 100000, 1200000);
	expect_near(play(senders, 100, 1200000, 6200000), 5 * MIB, 2, "faster");
	bandwidth_set_rate(bandwidth, 64 * KIB);
	play(senders, 100, 6200000, 7300000);
	expect_near(play(senders, 100, 7300000, 17300000), 10 * 64 * KIB, 2, "slower");
	bandwidth_set_rate(bandwidth, 0);
	for (int i = 0; i < 100; i++)
		cr_expect_eq(share_ask(senders[i].share, 0, 1, START + 17300000, &senders[i].at),
			     64 * KIB);
	gone(senders, 100);
	bandwidth_unref(bandwidth);
}

/* --- A flow's own limit ------------------------------------------------------------------ */

Test(bandwidth, paces_a_socket)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t rate = 0;
	socklen_t size = sizeof(rate);

	cr_expect_eq(bandwidth_pace(fd, 0), 0);
	cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &size), 0);
	cr_expect_eq(rate, UINT64_MAX);
	cr_expect_eq(bandwidth_pace(fd, 10 * MIB), 0);
	cr_assert_eq(getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &size), 0);
	cr_expect_eq(rate, 10 * MIB);
	close(fd);
	cr_expect_lt(bandwidth_pace(fd, 1), 0);
}
