// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * One direction as four actors whose steps are interleaved at random: the verdict program (with the
 * real rule and ledger), proxyd, the worker that sends the backlog, and the reader. Asserts that no
 * byte overtakes another, that the window holds, and that proxyd is woken for every byte that
 * waits for it. tests/model/ proves the same of a model; this is the code itself.
 */
#include <criterion/criterion.h>

#include "sidelane/ledger.h"
#include "unit/seed.h"

#define BYTES         10000
#define SKBS_MAX      (BYTES + 1)
#define WINDOW        1000
#define SEND_QUEUE    (2 * WINDOW)
#define RECEIVE_QUEUE 600
#define STEPS_MAX     (400 * BYTES)

/* Bytes are known by their position in the stream. */
struct range {
	uint32_t from, to;
};

struct queue {
	struct range ranges[SKBS_MAX];
	uint32_t head, tail;
};

enum verdict_step {
	VERDICT_IDLE,
	VERDICT_LOOK,  /* read the destination's write_seq */
	VERDICT_QUEUE, /* then its sk_wmem_queued */
	VERDICT_REDIRECT,
	VERDICT_REDIRECTED, /* counted, not yet in the backlog */
	VERDICT_PASS,
	VERDICT_PASSED, /* counted, not yet in the receive queue */
};

enum daemon_step {
	DAEMON_ASLEEP,
	DAEMON_AWAKE,
	DAEMON_DRAINED, /* has read `redirected`, reads what was written next */
	DAEMON_SENT,    /* has sent, publishes next */
};

struct direction {
	struct rng *rng;
	struct sl_ledger ledger;
	struct sl_published half;
	/* source; its lock is held from VERDICT_IDLE to VERDICT_IDLE */
	enum verdict_step verdict;
	struct range skb;
	uint32_t looked_write_seq;
	uint32_t produced;
	struct queue receive_queue;
	/* destination */
	struct queue backlog;
	uint32_t first_seq;
	uint32_t written; /* into the send queue */
	uint32_t read;    /* out of it */
	/* proxyd */
	enum daemon_step daemon;
	unsigned int wakeups; /* events in the ring */
	struct range held;
	uint32_t sent;
	uint32_t just_sent;
	uint64_t read_redirected;
	bool drained;
	unsigned int switches; /* how often it changes the lane, percent */
	/* what this run has tried */
	unsigned int moves, refusals;
};

static uint32_t length(struct range range)
{
	return range.to - range.from;
}

static bool empty(const struct queue *queue)
{
	return queue->head == queue->tail;
}

static uint32_t waiting(const struct queue *queue)
{
	return empty(queue) ? 0
			    : queue->ranges[queue->tail - 1].to - queue->ranges[queue->head].from;
}

static void push(struct queue *queue, struct range range)
{
	queue->ranges[queue->tail++] = range;
}

/* Up to `bytes` of the first range. */
static struct range take(struct queue *queue, uint32_t bytes)
{
	struct range *head = &queue->ranges[queue->head], taken = *head;

	if (length(taken) > bytes)
		taken.to = taken.from + bytes;
	head->from = taken.to;
	if (!length(*head))
		queue->head++;
	return taken;
}

/* The true size: what an skb weighs is more than what it carries. */
static uint32_t weight(struct range range)
{
	return length(range) + 20;
}

/* Into the send queue, in order. */
static void write_bytes(struct direction *d, struct range range)
{
	cr_assert_eq(range.from, d->written, "byte %u overtakes byte %u", range.from, d->written);
	d->written = range.to;
}

static uint32_t queued(const struct direction *d)
{
	return d->written - d->read;
}

/* --- The verdict program: each of its accesses to what others change is a step of its own. --- */

static void decide(struct direction *d, bool looked)
{
	enum sl_verdict verdict = sl_rule(&d->ledger, &d->half, weight(d->skb));

	if (verdict == SL_PASS || (verdict == SL_LOOK && looked))
		d->verdict = VERDICT_PASS;
	else if (verdict == SL_LOOK || (!looked && !d->ledger.redirected))
		d->verdict = VERDICT_LOOK;
	else
		d->verdict = VERDICT_REDIRECT;
	d->refusals += looked && verdict == SL_LOOK;
}

static void step_verdict(struct direction *d)
{
	switch (d->verdict) {
	case VERDICT_IDLE:
		if (d->produced == BYTES || waiting(&d->receive_queue) > RECEIVE_QUEUE)
			return;
		d->skb.from = d->produced;
		d->skb.to = d->produced + rng_log(d->rng, 1, 300);
		if (d->skb.to > BYTES)
			d->skb.to = BYTES;
		d->produced = d->skb.to;
		decide(d, false);
		return;
	case VERDICT_LOOK:
		d->looked_write_seq = d->first_seq + d->written;
		d->verdict = VERDICT_QUEUE;
		return;
	case VERDICT_QUEUE:
		sl_ledger_settle(&d->ledger, d->looked_write_seq, queued(d));
		decide(d, true);
		return;
	case VERDICT_REDIRECT:
		sl_ledger_redirect(&d->ledger, d->half.window, length(d->skb), weight(d->skb));
		d->verdict = VERDICT_REDIRECTED;
		return;
	case VERDICT_REDIRECTED:
		push(&d->backlog, d->skb);
		d->verdict = VERDICT_IDLE;
		return;
	case VERDICT_PASS:
		d->wakeups += sl_ledger_pass(&d->ledger, &d->half, length(d->skb)) ? 1 : 0;
		d->verdict = VERDICT_PASSED;
		return;
	case VERDICT_PASSED:
		push(&d->receive_queue, d->skb);
		d->verdict = VERDICT_IDLE;
		return;
	}
}

/* --- proxyd, as flow.c and relay.c have it --- */

static void switch_lane(struct direction *d)
{
	d->half.lane = d->half.lane == SL_LANE_KERNEL ? SL_LANE_RELAY : SL_LANE_KERNEL;
	d->drained = false;
	d->daemon = DAEMON_AWAKE;
	d->moves++;
}

/* recv(): takes the source's lock. */
static void receive(struct direction *d)
{
	if (d->verdict != VERDICT_IDLE)
		return;
	if (!empty(&d->receive_queue)) {
		d->held = take(&d->receive_queue, rng_range(d->rng, 1, 600));
		return;
	}
	if (d->half.lane == SL_LANE_KERNEL)
		d->drained = false;
	d->daemon = DAEMON_ASLEEP;
}

static void give(struct direction *d)
{
	uint32_t room = SEND_QUEUE - queued(d);
	struct range part = d->held;

	if (!room)
		return;
	if (length(part) > room)
		part.to = part.from + room;
	write_bytes(d, part);
	d->held.from = part.to;
	d->sent += length(part);
	d->just_sent = length(part);
	d->daemon = DAEMON_SENT;
}

static void step_daemon(struct direction *d)
{
	switch (d->daemon) {
	case DAEMON_ASLEEP:
		if (rng_percent(d->rng, d->switches)) {
			switch_lane(d);
		} else if (d->wakeups) {
			d->wakeups--;
			d->daemon = DAEMON_AWAKE;
		} else if (d->half.lane == SL_LANE_RELAY && !empty(&d->receive_queue)) {
			d->daemon = DAEMON_AWAKE;
		}
		return;
	case DAEMON_AWAKE:
		if (!length(d->held)) {
			receive(d);
		} else if (d->drained) {
			give(d);
		} else if (rng_percent(d->rng, d->switches)) {
			switch_lane(d);
		} else {
			d->read_redirected = d->ledger.redirected;
			d->daemon = DAEMON_DRAINED;
		}
		return;
	case DAEMON_DRAINED:
		d->drained = d->written >= d->read_redirected + d->sent;
		d->daemon = DAEMON_AWAKE;
		return;
	case DAEMON_SENT:
		d->half.relayed += d->just_sent;
		if (d->half.lane == SL_LANE_KERNEL)
			d->drained = false;
		d->daemon = DAEMON_AWAKE;
		return;
	}
}

/* --- The kernel's worker and the reader --- */

static void step_worker(struct direction *d)
{
	if (!empty(&d->backlog) && queued(d) < SEND_QUEUE)
		write_bytes(d, take(&d->backlog, rng_range(d->rng, 1, SEND_QUEUE - queued(d))));
}

static void step_reader(struct direction *d, uint32_t most)
{
	d->read += rng_range(d->rng, 0, queued(d) < most ? queued(d) : most);
}

/* Bytes are the least that they weigh. */
static void check_window(const struct direction *d)
{
	uint32_t inside = queued(d);

	for (uint32_t i = d->backlog.head; i < d->backlog.tail; i++)
		inside += length(d->backlog.ranges[i]);
	/* In the relay proxyd fills the send queue as any proxy would. */
	cr_assert_leq(inside, SEND_QUEUE + WINDOW);
	if (!d->sent)
		cr_assert_leq(inside, WINDOW);
}

static void run(struct direction *d)
{
	unsigned int weights[4] = {1, 1, 1, 1};

	for (unsigned int step = 0; d->read < BYTES || d->ledger.passed != d->half.relayed;
	     step++) {
		uint32_t dice;

		if (step > STEPS_MAX)
			cr_assert_fail(
				"stuck: %u of %u bytes arrived; verdict %d, proxyd %d, lane %u, "
				"%u wake-ups, passed %llu, relayed %llu",
				d->read, BYTES, d->verdict, d->daemon, d->half.lane, d->wakeups,
				d->ledger.passed, d->half.relayed);
		/* Who is fast and who is slow changes; in the end nobody stands still. */
		if (step % 500 == 0)
			for (int i = 0; i < 4; i++)
				weights[i] = rng_log(d->rng, 1, 1000);
		dice = rng_range(d->rng, 1, weights[0] + weights[1] + weights[2] + weights[3]);
		if (dice <= weights[0])
			step_verdict(d);
		else if (dice <= weights[0] + weights[1])
			step_daemon(d);
		else if (dice <= weights[0] + weights[1] + weights[2])
			step_worker(d);
		else
			step_reader(d, 500);
		if (step % 16 == 0)
			check_window(d);
	}
}

Test(interleavings, keep_order_and_lose_no_wake_up, .timeout = 100)
{
	struct rng rng = seeded("interleavings");
	uint64_t redirected = 0, passed = 0, moves = 0, refusals = 0;
	struct direction *d = malloc(sizeof(*d));

	cr_assert(d);
	for (int i = 0; i < 2000; i++) {
		memset(d, 0, sizeof(*d));
		d->rng = &rng;
		d->first_seq = rng_percent(&rng, 50) ? UINT32_MAX - rng_range(&rng, 0, BYTES)
						     : (uint32_t)rng_next(&rng);
		d->half.window = WINDOW;
		d->half.lane = rng_percent(&rng, 80) ? SL_LANE_KERNEL : SL_LANE_RELAY;
		/* Without a switch of lanes, nothing else would make up for a lost wake-up. */
		if (d->half.lane == SL_LANE_RELAY || rng_percent(&rng, 50))
			d->switches = 2;
		run(d);
		cr_assert_eq(d->ledger.redirected + d->ledger.passed, BYTES);
		redirected += d->ledger.redirected;
		passed += d->ledger.passed;
		moves += d->moves;
		refusals += d->refusals;
	}
	free(d);
	fprintf(stderr,
		"interleavings: %lu bytes redirected, %lu passed, %lu moves, %lu full windows\n",
		redirected, passed, moves, refusals);
	cr_assert(redirected > 100000 && passed > 100000 && moves > 1000 && refusals > 1000,
		  "this tested little");
}
