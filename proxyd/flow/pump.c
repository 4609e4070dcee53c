// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Moving a direction's bytes, in whatever lane, up to its end. */
#include "flow/pump.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "flow/bandwidth.h"
#include "flow/offer.h"
#include "flow/relay.h"
#include "flow/splicer.h"
#include "flow/worker.h"

/* Bytes of one direction in one turn of the loop, so that one flow does not starve the others. */
#define TURN_BYTES (1024 * 1024)

/*
 * Whether proxyd may send: nothing that was redirected is still on its way to the destination.
 * Only asked while bytes that proxyd took have not been published, so nothing new is redirected.
 */
static bool may_send(struct flow *flow, int d)
{
	struct direction *direction = &flow->directions[d];
	struct sl_ledger ledger;

	if (!flow->paired || direction->drained)
		return true;
	direction->drained = !splice_ledger(flow->pair, (enum sl_direction_index)d, &ledger) &&
			     splice_drained(&ledger, (enum sl_direction_index)d, flow->fds[!d],
					    direction->sent) > 0;
	return direction->drained;
}

/*
 * The source's end was read. Bytes may still be on their way to proxyd (behind the source's own
 * backlog, or in a stream parser's queue) or in the destination's backlog, which shutdown(2)
 * would drop. Returns 0 when the direction is all done, -EAGAIN when it will be, with a poll
 * arranged, -EBADMSG when it is broken.
 */
static int finished(struct flow *flow, int d)
{
	const struct direction *direction = &flow->directions[d];
	enum sl_direction_index index = (enum sl_direction_index)d;
	struct sl_ledger ledger;

	if (!flow->paired)
		return flow_is_broken(flow, d) ? -EBADMSG : 0;
	if (!splice_ledger(flow->pair, index, &ledger)) {
		if (ledger.broken)
			return -EBADMSG;
		if (splice_complete(flow->pair, index, &ledger, flow->fds[d], direction->read) >
			    0 &&
		    splice_drained(&ledger, index, flow->fds[!d], direction->sent) > 0)
			return 0;
	}
	worker_poll_soon(flow);
	return -EAGAIN;
}

/* The source has ended: pass that on once all before it has gone. Returns whether that is settled.
 */
static bool end(struct flow *flow, int d)
{
	int err = finished(flow, d);

	if (err == -EAGAIN)
		return false;
	if (err)
		flow_break(flow);
	else
		flow_finish(flow, d);
	return true;
}

bool pump_is_empty(const struct flow *flow, int d)
{
	const struct direction *direction = &flow->directions[d];
	enum sl_direction_index index = (enum sl_direction_index)d;
	int unread, unacknowledged;
	struct sl_ledger ledger;

	if (relay_holds(direction) || flow_is_broken(flow, d))
		return false;
	if (ioctl(flow->fds[d], SIOCINQ, &unread) || unread ||
	    ioctl(flow->fds[!d], SIOCOUTQ, &unacknowledged) || unacknowledged)
		return false;
	return !flow->paired ||
	       (!splice_pending(flow->pair, index) && !splice_ledger(flow->pair, index, &ledger) &&
		splice_drained(&ledger, index, flow->fds[!d], direction->sent) > 0);
}

/* Returns what TCP calls a full segment of this flow, in bytes; 0: not known. */
static uint32_t count_segments(const struct flow *flow, struct traffic_count *count)
{
	uint32_t full = 0;

	*count = (struct traffic_count){0};
	for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
		struct tcp_info info = {0};
		socklen_t size = sizeof(info);

		if (getsockopt(flow->fds[side], IPPROTO_TCP, TCP_INFO, &info, &size))
			return 0;
		count->bytes += flow->directions[side].read;
		count->segments += info.tcpi_data_segs_in;
		full = info.tcpi_rcv_mss > full ? info.tcpi_rcv_mss : full;
	}
	return full;
}

/* The flow as `auto` sees it after a read: does another lane suit it better? */
static void consider(struct flow *flow, int d, uint32_t bytes)
{
	bool dialogue = traffic_saw(&flow->traffic, d, bytes);
	struct traffic_count count;
	uint32_t segment;

	if (dialogue)
		offer_make(flow);
	if (flow->directions[d].lane != SL_LANE_RELAY || flow->directions[d].relay_only ||
	    flow->worker->proxy->settings->lane != LANE_AUTO || !flow->worker->splicer)
		return;
	/* What it does while it may not move does not count. */
	if (flow->traffic.not_before && !traffic_may_advance(&flow->traffic, worker_now_ms())) {
		flow->traffic.turns = 0;
		return;
	}
	if (traffic_half_way(&flow->traffic))
		count_segments(flow, &flow->traffic.half_way);
	if (!dialogue || flow->wants_kernel)
		return;
	if (traffic_is_crowded(flow->worker->crowd)) {
		flow->traffic.turns = 0;
		return;
	}
	segment = count_segments(flow, &count);
	if (traffic_bursts(&flow->traffic, &count, segment))
		traffic_retreat(&flow->traffic, worker_now_ms());
	else
		flow->wants_kernel = true;
}

/* Give what is held. Returns 0 when nothing is left, else -errno with the way on arranged. */
static int flush(struct flow *flow, int d)
{
	int err;

	if (!may_send(flow, d)) {
		worker_poll_soon(flow);
		return -EAGAIN;
	}
	err = relay_give(flow, d);
	if (err == -EAGAIN || !err)
		flow_update_interest(flow);
	return err;
}

/*
 * Nothing to read, and no EPOLLIN to come: from here on the verdict program may redirect. Passed
 * bytes that are stuck behind a backlog (the budget keeps it moving, but global memory pressure can
 * stop any TCP) must not grow without bound.
 */
static void fall_asleep(struct flow *flow, int d)
{
	struct direction *direction = &flow->directions[d];
	uint64_t pending = splice_pending(flow->pair, (enum sl_direction_index)d);
	bool hold = pending > flow->worker->proxy->settings->window;

	if (direction->lane == SL_LANE_KERNEL)
		direction->drained = false;
	if (pending)
		worker_poll_soon(flow);
	if (hold != direction->source_held && (hold || !pending)) {
		splice_hold_source(flow->fds[d], hold);
		direction->source_held = hold;
	}
}

/*
 * How many bytes may be taken for all that others want of the listener's bandwidth. 0: none, or
 * there are none; flow_poll() or an edge will come.
 */
static size_t allowance(struct flow *flow, int d)
{
	uint32_t room;
	uint64_t at_us;
	int unread = 0;

	if (!flow->share)
		return SIZE_MAX;
	/* Not every kernel knows what waits at an enrolled socket (docs/kernel.md). */
	if (!ioctl(flow->fds[d], SIOCINQ, &unread) && !unread && flow->state == FLOW_OPEN &&
	    !flow->directions[d].read_on && !flow_enrolled(flow))
		return 0;
	room = share_ask(flow->share, d, (uint32_t)unread, worker_now_us(), &at_us);
	if (!room)
		worker_poll_at(flow, at_us);
	return room;
}

/*
 * Take what there is, and note the end. Returns bytes, 0 when nothing more is to be had now, or
 * -EPIPE when the destination is broken, or -ENOMEM.
 */
static ssize_t take(struct flow *flow, int d, size_t room)
{
	struct direction *direction = &flow->directions[d];
	ssize_t taken = relay_take(flow, d, room, !flow->paired || direction->drained);

	if (flow->share)
		share_took(flow->share, d, taken > 0 ? (uint32_t)taken : 0, taken == (ssize_t)room);
	if (taken > 0) {
		flow->polls = 0;
		consider(flow, d, (uint32_t)taken);
		return taken;
	}
	if (taken == -EAGAIN) {
		if (direction->lane == SL_LANE_KERNEL || direction->source_held)
			fall_asleep(flow, d);
		return 0;
	}
	if (taken == -EPIPE || taken == -ENOMEM)
		return taken;
	direction->state = DIRECTION_ENDING;
	if (!taken && !flow->ended_by)
		flow->ended_by = (uint8_t)(d + 1);
	if (taken < 0)
		flow_reset(flow, d);
	return 0;
}

/* In the relay lane a short read means that there is no more: the next bytes make a new edge. */
static bool exhausted(const struct direction *direction, ssize_t taken, size_t room)
{
	return taken < WORKER_BUFFER && (size_t)taken < room && direction->lane == SL_LANE_RELAY &&
	       !direction->read_on && !direction->pipe;
}

/* Returns whether to go on with the direction. */
static bool pump_once(struct flow *flow, int d, ssize_t *budget)
{
	struct direction *direction = &flow->directions[d];
	bool was_open = direction->state == DIRECTION_OPEN;
	ssize_t moved = relay_holds(direction) ? flush(flow, d) : 0;
	size_t room = 0;

	if (moved == -EAGAIN)
		return false;
	if (!moved && direction->state != DIRECTION_OPEN && end(flow, d))
		return false;
	if (!moved) {
		room = allowance(flow, d);
		if (!room)
			return false;
		moved = take(flow, d, room);
	}
	if (moved == -EPIPE) {
		flow_reset(flow, !d);
		return false;
	}
	if (moved < 0) {
		flow_fault(flow, ERROR_RESOURCES, NULL);
		flow_abort(flow);
		return false;
	}
	if (!moved)
		return was_open && direction->state == DIRECTION_ENDING;
	*budget -= moved;
	return relay_holds(direction) || !exhausted(direction, moved, room);
}

static void pump_up_to(struct flow *flow, int d, ssize_t budget)
{
	struct direction *direction = &flow->directions[d];

	do {
		if (flow->state == FLOW_RESETTING && d != flow->reset_side)
			return;
		if (flow->state != FLOW_OPEN && flow->state != FLOW_RESETTING)
			return;
		if (direction->state == DIRECTION_SHUT) {
			if (flow->state == FLOW_RESETTING)
				flow_finish_reset(flow);
			return;
		}
		if (budget <= 0) {
			/* Neither held nor unread bytes make an edge: come back by the clock. */
			if (!direction->gather.on)
				worker_poll_soon(flow);
			return;
		}
	} while (pump_once(flow, d, &budget));
}

void pump(struct flow *flow, int d)
{
	pump_up_to(flow, d, gather_turn(flow, d, TURN_BYTES));
	gather_rest(flow, d);
}
