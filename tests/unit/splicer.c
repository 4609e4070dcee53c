// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a splicer does when the kernel could not do its part. */
#include "flow/splicer.h"

#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/connection.h"
#include "unit/lane.h"

#define EVENTS_MAX 1000000

/* So small a window that the verdict program passes everything, each time with an event. */
#define NO_WINDOW 1

struct heard {
	unsigned int passed[2][2]; /* by pair and direction */
	unsigned int broken[2][2];
};

static void hear(void *user, uint32_t pair, const struct sl_event *event)
{
	struct heard *heard = user;

	cr_assert_lt(pair, 2);
	if (event->kind == SL_EVENT_PASSED)
		heard->passed[pair][event->slot % 2]++;
	if (event->kind == SL_EVENT_BROKEN)
		heard->broken[pair][event->slot % 2]++;
}

/* A flow without a proxyd: its two connections, paired. */
struct spliced {
	struct connection down, up;
	struct splice_pair *pair;
};

static int splice(struct splicer *splicer, struct spliced *spliced)
{
	const uint64_t read[2] = {0, 0};
	const int fds[2] = {spliced->down.server, spliced->up.client};

	return splicer_pair(splicer, fds, read, &spliced->pair);
}

static void open_spliced(struct splicer *splicer, struct spliced *spliced)
{
	connection_open(CONNECTION_IPV4, &spliced->down, NULL, NULL);
	connection_open(CONNECTION_IPV4, &spliced->up, NULL, NULL);
	cr_assert_eq(splice(splicer, spliced), 0);
	splice_set_lane(spliced->pair, SL_UP, SL_LANE_KERNEL);
}

static void close_spliced(struct spliced *spliced)
{
	connection_close(&spliced->down);
	connection_close(&spliced->up);
	splice_pair_free(spliced->pair);
}

/* A byte that is passed; `serve` does what proxyd would do then. */
static void send_byte(struct spliced *spliced, bool serve)
{
	struct pollfd readable = {.fd = spliced->down.server, .events = POLLIN};
	char byte = 'x';

	cr_assert_eq(send(spliced->down.client, &byte, 1, 0), 1);
	if (!serve)
		return;
	while (recv(spliced->down.server, &byte, 1, MSG_DONTWAIT) != 1)
		cr_assert_eq(poll(&readable, 1, 30000), 1);
	splice_publish(spliced->pair, SL_UP, 1);
}

static uint64_t events_lost(const struct kernel_lane *lane)
{
	struct sl_totals sums;

	cr_assert_eq(kernel_lane_totals(lane, &sums), 0);
	return sums.events_lost;
}

static void edit_ledger(const struct kernel_lane *lane, int source, uint32_t broken)
{
	uint64_t cookie = splicer_cookie(source);
	struct sl_ledger ledger;

	cr_assert_eq(bpf_map_lookup_elem(lane->ledgers, &cookie, &ledger), 0);
	ledger.broken = broken;
	cr_assert_eq(bpf_map_update_elem(lane->ledgers, &cookie, &ledger, BPF_EXIST), 0);
}

/* Of a direction whose event found the ring full, nothing would ever be heard again. */
Test(splicer, recovers_events_that_were_lost, .timeout = 60)
{
	struct kernel_lane *lane = lane_open(false, NO_WINDOW);
	struct spliced noisy, quiet;
	struct splicer *splicer;
	struct heard heard = {0};
	unsigned int sent = 0;

	cr_assert_eq(splicer_new(lane, 0, hear, &heard, &splicer), 0);
	open_spliced(splicer, &noisy);
	open_spliced(splicer, &quiet);
	send_byte(&noisy, true);
	splicer_dispatch(splicer);
	cr_assert_eq(heard.passed[0][SL_UP], 1, "the test makes no events");

	for (; !events_lost(lane) && sent < EVENTS_MAX; sent++)
		send_byte(&noisy, true);
	cr_assert_lt(sent, EVENTS_MAX, "the ring is never full");
	send_byte(&quiet, false);
	cr_assert_eq(events_lost(lane), 2);
	edit_ledger(lane, quiet.up.client, 1);
	splicer_dispatch(splicer);
	cr_expect_eq(heard.passed[1][SL_UP], 1, "passed bytes are not heard of");
	cr_expect_eq(heard.broken[1][SL_DOWN], 1, "a broken direction is not heard of");

	/* Once is enough. */
	memset(&heard, 0, sizeof(heard));
	send_byte(&noisy, true);
	splicer_dispatch(splicer);
	cr_expect_eq(heard.passed[0][SL_UP], 1);
	cr_expect_eq(heard.passed[1][SL_UP] + heard.broken[1][SL_DOWN], 0);
	close_spliced(&noisy);
	close_spliced(&quiet);
	splicer_free(splicer);
	kernel_lane_free(lane);
}

static void claim(int fd, void *lane)
{
	cr_assert_eq(kernel_lane_claim(lane, fd), 0);
}

/* An skb had to be dropped before there was a worker to tell. */
Test(splicer, refuses_to_pair_a_broken_direction)
{
	struct kernel_lane *lane = lane_open(true, 1 << 20);
	struct heard heard = {0};
	struct splicer *splicer;

	cr_assert_eq(splicer_new(lane, 0, hear, &heard, &splicer), 0);
	for (int side = 0; side < 2; side++) {
		struct spliced spliced;

		connection_open(CONNECTION_IPV6, &spliced.down, claim, lane);
		connection_open(CONNECTION_IPV6, &spliced.up, claim, lane);
		edit_ledger(lane, side ? spliced.up.client : spliced.down.server, 1);
		cr_expect_eq(splicer_is_broken(splicer, spliced.down.server), !side);
		cr_expect_eq(splicer_is_broken(splicer, spliced.up.client), side);
		spliced.pair = NULL;
		cr_expect_eq(splice(splicer, &spliced), -EBADMSG);
		cr_assert(spliced.pair, "its entries are never freed");
		close_spliced(&spliced);
	}
	splicer_free(splicer);
	kernel_lane_free(lane);
}

/* The verdict program lets nothing through behind what it had to drop, and says so. */
Test(splicer, lets_nothing_through_behind_a_gap)
{
	struct kernel_lane *lane = lane_open(false, 1 << 20);
	struct heard heard = {0};
	struct splicer *splicer;
	struct spliced spliced;
	char byte;

	cr_assert_eq(splicer_new(lane, 0, hear, &heard, &splicer), 0);
	open_spliced(splicer, &spliced);
	edit_ledger(lane, spliced.down.server, 1);
	send_byte(&spliced, false);
	splicer_dispatch(splicer);
	cr_expect_eq(heard.broken[0][SL_UP], 1);
	cr_expect_eq(recv(spliced.down.server, &byte, 1, MSG_DONTWAIT), -1, "it was passed");
	usleep(20 * 1000);
	cr_expect_eq(recv(spliced.up.server, &byte, 1, MSG_DONTWAIT), -1, "it was redirected");
	close_spliced(&spliced);
	splicer_free(splicer);
	kernel_lane_free(lane);
}
