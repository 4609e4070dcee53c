// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The life of a flow; the states are drawn in flow.h. */
#define _GNU_SOURCE
#include "flow/flow.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "flow/kernel_lane.h"
#include "flow/relay.h"
#include "flow/worker.h"
#include "log.h"

/* Bytes of one direction in one turn of the loop, so that one flow does not starve the others. */
#define TURN_BYTES (1024 * 1024)

/*
 * How long the survivor of a reset may take the bytes that were sent before it. A direct
 * connection would have them in the survivor's own receive buffer by then.
 */
#define RESET_DELIVERY_MS 3000

/* Whether the flow's bytes cross in the kernel from the first one on. */
static bool for_kernel_lane(const struct flow *flow)
{
	const struct proxy_shared *proxy = flow->worker->proxy;

	return proxy->settings->lane == LANE_KERNEL && proxy->kernel_lane;
}

bool flow_enrolled(const struct flow *flow)
{
	return flow->pair || flow->worker->proxy->sock_ops;
}

/*
 * The events that each socket is watched for. EPOLLIN on a socket in the kernel lane would wake
 * proxyd for every skb that it has nothing to do with; EPOLLERR and EPOLLHUP always come.
 */
static void update_interest(struct flow *flow)
{
	for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
		const struct direction *from = &flow->directions[side];
		const struct direction *to = &flow->directions[!side];
		uint32_t events = EPOLLRDHUP;

		if (from->lane == SL_LANE_RELAY)
			events |= EPOLLIN;
		if (to->lane == SL_LANE_RELAY || relay_holds(to))
			events |= EPOLLOUT;
		if (flow->interest[side] != events)
			worker_watch(flow->worker, flow, (enum side)side, events);
	}
}

static void touch(struct flow *flow)
{
	worker_set_deadline(flow, &flow->worker->idle, worker_now_ms(),
			    flow->worker->proxy->settings->idle_timeout);
}

static void close_sockets(struct flow *flow, bool abort)
{
	struct splicer *splicer = flow->worker->splicer;
	bool forget = flow->worker->proxy->sock_ops && !flow->pair;
	const struct linger hard = {.l_onoff = 1, .l_linger = 0};

	for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
		uint64_t cookie = 0;

		if (flow->fds[side] < 0)
			continue;
		if (forget)
			cookie = splicer_cookie(flow->fds[side]);
		if (abort)
			setsockopt(flow->fds[side], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(flow->fds[side]);
		flow->fds[side] = -1;
		if (cookie)
			splicer_forget(splicer, cookie);
	}
}

static void flow_close(struct flow *flow, bool abort)
{
	struct worker *worker = flow->worker;

	if (flow->state == FLOW_CLOSED)
		return;
	if (flow->pair) {
		splice_set_lane(flow->pair, SL_UP, SL_LANE_RELAY);
		splice_set_lane(flow->pair, SL_DOWN, SL_LANE_RELAY);
		worker->spliced[splice_pair_index(flow->pair)] = NULL;
	}
	close_sockets(flow, abort);
	if (flow->pair) {
		splice_pair_free(flow->pair);
		flow->pair = NULL;
		if (flow->paired)
			stats_add(&worker->stats.flows_kernel, (uint64_t)-1);
	}
	relay_drop(flow, SL_UP);
	relay_drop(flow, SL_DOWN);
	flow->state = FLOW_CLOSED;
	stats_add(&worker->stats.flows_active, (uint64_t)-1);
	worker_bury(flow);
}

void flow_abort(struct flow *flow)
{
	flow_close(flow, true);
}

void flow_free(struct flow *flow)
{
	free(flow);
}

/* --- Kernel lane ------------------------------------------------------------------------- */

static enum fallback_reason fallback_reason(int err)
{
	switch (-err) {
	case ENOSPC:
	case E2BIG:
		return FALLBACK_NO_ROOM;
	case EOPNOTSUPP:
	case ENOTCONN:
		return FALLBACK_HALF_CLOSED;
	default:
		return FALLBACK_REFUSED;
	}
}

/* Returns 0, or -EAGAIN when unread bytes forbid it for now, or -errno when it is given up. */
static int pair(struct flow *flow)
{
	const bool read[2] = {flow->directions[SL_UP].read, flow->directions[SL_DOWN].read};
	struct worker *worker = flow->worker;
	int err;

	if (flow->pair)
		return flow->paired ? 0 : -EOPNOTSUPP;
	err = splicer_pair(worker->splicer, flow->fds, read, &flow->pair);
	if (err == -EAGAIN)
		return err;
	if (flow->pair)
		worker->spliced[splice_pair_index(flow->pair)] = flow;
	if (err) {
		stats_add(&worker->stats.fallbacks[fallback_reason(err)], 1);
		return err;
	}
	flow->paired = true;
	stats_add(&worker->stats.flows_kernel, 1);
	return 0;
}

static void set_lane(struct flow *flow, int d, enum sl_lane lane)
{
	struct direction *direction = &flow->directions[d];

	if (direction->lane == lane)
		return;
	direction->lane = (uint8_t)lane;
	direction->drained = false;
	splice_set_lane(flow->pair, (enum sl_direction_index)d, lane);
	stats_add(&flow->worker->stats.lane_moves, 1);
}

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

/* --- Ends -------------------------------------------------------------------------------- */

/*
 * One side has sent a RST. What it sent before goes on to the survivor, then a RST; what was
 * meant for it is dropped.
 */
static void reset(struct flow *flow, int side)
{
	struct worker *worker = flow->worker;

	if (flow->state == FLOW_RESETTING && flow->reset_side != side)
		flow_abort(flow);
	if (flow->state != FLOW_OPEN)
		return;
	stats_add(&worker->stats.errors[side == DOWNSTREAM ? ERROR_RESET_DOWNSTREAM
							   : ERROR_RESET_UPSTREAM],
		  1);
	flow->state = FLOW_RESETTING;
	flow->reset_side = (uint8_t)side;
	relay_drop(flow, !side);
	worker_set_deadline(flow, &worker->resetting, worker_now_ms(), RESET_DELIVERY_MS);
}

/* The survivor gets its RST once its own kernel has acknowledged, hence holds, all bytes. */
static void finish_reset(struct flow *flow)
{
	int unacknowledged = 0;

	if (!ioctl(flow->fds[!flow->reset_side], SIOCOUTQ, &unacknowledged) && unacknowledged)
		worker_poll_soon(flow);
	else
		flow_abort(flow);
}

/* The direction's last byte was given to the destination: pass its end on. */
static void finish(struct flow *flow, int d)
{
	if (flow->state == FLOW_RESETTING) {
		finish_reset(flow);
		return;
	}
	flow->directions[d].state = DIRECTION_SHUT;
	if (flow->directions[!d].state == DIRECTION_SHUT)
		flow_close(flow, false);
	else if (shutdown(flow->fds[!d], SHUT_WR))
		reset(flow, !d);
}

/*
 * The source's end was read. Bytes may still be on their way to proxyd (behind the source's own
 * backlog, or in a stream parser's queue) or in the destination's backlog, which shutdown(2)
 * would drop. Returns whether the direction is all done.
 */
static bool ended(struct flow *flow, int d)
{
	const struct direction *direction = &flow->directions[d];
	struct sl_ledger ledger;

	if (!flow->paired)
		return true;
	if (!splice_ledger(flow->pair, (enum sl_direction_index)d, &ledger) &&
	    splice_complete(&ledger, flow->fds[d], direction->read) > 0 &&
	    splice_drained(&ledger, (enum sl_direction_index)d, flow->fds[!d], direction->sent) > 0)
		return true;
	worker_poll_soon(flow);
	return false;
}

/* --- Bytes ------------------------------------------------------------------------------- */

/* The flow as `auto` sees it after a read: does another lane suit it better? */
static void consider(struct flow *flow, int d, uint32_t bytes)
{
	flow->wants_kernel |= traffic_saw(&flow->traffic, d, bytes) &&
			      flow->directions[d].lane == SL_LANE_RELAY &&
			      flow->worker->proxy->settings->lane == LANE_AUTO &&
			      flow->worker->splicer &&
			      traffic_may_advance(&flow->traffic, worker_now_ms());
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
		update_interest(flow);
	return err;
}

/* Nothing to read, and no EPOLLIN to come: from here on the verdict program may redirect. */
static void fall_asleep(struct flow *flow, int d)
{
	flow->directions[d].drained = false;
	if (!splice_caught_up(flow->pair, (enum sl_direction_index)d))
		worker_poll_soon(flow);
}

/*
 * Take what there is, and note the end. Returns bytes, 0 when nothing more is to be had now, or
 * -EPIPE when the destination is broken, or -ENOMEM.
 */
static ssize_t take(struct flow *flow, int d)
{
	struct direction *direction = &flow->directions[d];
	ssize_t taken = relay_take(flow, d, !flow->paired || direction->drained);

	if (taken > 0) {
		flow->polls = 0;
		consider(flow, d, (uint32_t)taken);
		flow->worker->yields |= traffic_drips(&flow->traffic, (uint32_t)taken);
		return taken;
	}
	if (taken == -EAGAIN) {
		if (direction->lane == SL_LANE_KERNEL)
			fall_asleep(flow, d);
		return 0;
	}
	if (taken == -EPIPE || taken == -ENOMEM)
		return taken;
	direction->state = DIRECTION_ENDING;
	if (taken < 0)
		reset(flow, d);
	return 0;
}

/* In the relay lane a short read means that there is no more: the next bytes make a new edge. */
static bool exhausted(const struct direction *direction, ssize_t taken)
{
	return taken < WORKER_BUFFER && direction->lane == SL_LANE_RELAY && !direction->hung_up &&
	       !direction->pipe;
}

/* Returns whether to go on with the direction. */
static bool pump_once(struct flow *flow, int d, ssize_t *budget)
{
	struct direction *direction = &flow->directions[d];
	bool was_open = direction->state == DIRECTION_OPEN;
	ssize_t moved = relay_holds(direction) ? flush(flow, d) : 0;

	if (moved == -EAGAIN)
		return false;
	if (!moved && direction->state != DIRECTION_OPEN && ended(flow, d)) {
		finish(flow, d);
		return false;
	}
	if (!moved)
		moved = take(flow, d);
	if (moved == -EPIPE) {
		reset(flow, !d);
		return false;
	}
	if (moved < 0) {
		stats_add(&flow->worker->stats.errors[ERROR_RESOURCES], 1);
		flow_abort(flow);
		return false;
	}
	if (!moved)
		return was_open && direction->state == DIRECTION_ENDING;
	*budget -= moved;
	return relay_holds(direction) || !exhausted(direction, moved);
}

/*
 * Move a direction's bytes until there are none, or the destination is full. In the kernel lane
 * the last recv() must come after the last publish: a verdict that is taken after it sees what was
 * published, and what was passed before it was read (both run under the source's lock).
 */
static void pump(struct flow *flow, int d)
{
	struct direction *direction = &flow->directions[d];
	ssize_t budget = TURN_BYTES;

	do {
		if (flow->state == FLOW_RESETTING && d != flow->reset_side)
			return;
		if (flow->state != FLOW_OPEN && flow->state != FLOW_RESETTING)
			return;
		if (direction->state == DIRECTION_SHUT) {
			if (flow->state == FLOW_RESETTING)
				finish_reset(flow);
			return;
		}
		if (budget <= 0) {
			worker_again(flow, (enum side)d);
			return;
		}
	} while (pump_once(flow, d, &budget));
}

static void enter_kernel_lane(struct flow *flow)
{
	int err = pair(flow);

	if (err == -EAGAIN)
		return;
	flow->wants_kernel = false;
	if (err) {
		traffic_retreat(&flow->traffic, worker_now_ms());
		update_interest(flow);
		return;
	}
	for (int d = SL_UP; d <= SL_DOWN; d++)
		if (flow->directions[d].state == DIRECTION_OPEN)
			set_lane(flow, d, SL_LANE_KERNEL);
	update_interest(flow);
	pump(flow, SL_UP);
	pump(flow, SL_DOWN);
}

/* Serve both directions where asked to, then change lanes if that was found to be better. */
static void turn(struct flow *flow, bool up, bool down)
{
	if (up)
		pump(flow, SL_UP);
	if (down)
		pump(flow, SL_DOWN);
	/* The side that was reset meanwhile, whoever found it out. */
	if (flow->state == FLOW_RESETTING)
		pump(flow, flow->reset_side);
	if (flow->state != FLOW_OPEN)
		return;
	touch(flow);
	if (flow->wants_kernel && !relay_holds(&flow->directions[SL_UP]) &&
	    !relay_holds(&flow->directions[SL_DOWN]))
		enter_kernel_lane(flow);
}

/* --- Connecting -------------------------------------------------------------------------- */

/*
 * What a socket is watched for while the upstream connects. A flow that goes to the kernel lane
 * from its first byte need not hear of it.
 */
static int watch_connecting(struct flow *flow, enum side side)
{
	uint32_t events = EPOLLRDHUP;

	if (side == UPSTREAM || !for_kernel_lane(flow))
		events |= EPOLLOUT;
	if (!for_kernel_lane(flow))
		events |= EPOLLIN;
	return worker_watch(flow->worker, flow, side, events);
}

static void opened(struct flow *flow)
{
	const struct proxy_shared *proxy = flow->worker->proxy;

	flow->state = FLOW_OPEN;
	touch(flow);
	flow->wants_kernel = for_kernel_lane(flow);
	if (proxy->settings->switch_lanes && proxy->kernel_lane)
		worker_poll_soon(flow);
	turn(flow, !flow->wants_kernel, !flow->wants_kernel);
}

static enum error_kind connect_error_kind(int err)
{
	if (err == ECONNREFUSED)
		return ERROR_CONNECT_REFUSED;
	return err == ETIMEDOUT ? ERROR_CONNECT_TIMEOUT : ERROR_CONNECT_OTHER;
}

static void report_connect_failure(struct flow *flow, int err)
{
	const struct address_list *upstream = &flow->worker->proxy->settings->upstream;
	char endpoint[ADDRESS_TEXT], client[ADDRESS_TEXT];
	struct address downstream = {.length = sizeof(downstream.ipv6)};

	stats_add(&flow->worker->stats.errors[connect_error_kind(err)], 1);
	if (getpeername(flow->fds[DOWNSTREAM], &downstream.any, &downstream.length))
		downstream.length = 0;
	log_warning("client %s: cannot connect to %s: %s%s", address_format(&downstream, client),
		    address_format(&upstream->items[flow->endpoint], endpoint), strerror(err),
		    flow->tried < upstream->count ? "; trying the next endpoint"
						  : "; client closed");
}

/* Start a connect to flow->endpoint. Returns 0 or -errno. */
static int connect_endpoint(struct flow *flow)
{
	const struct settings *settings = flow->worker->proxy->settings;
	const struct address *to = &settings->upstream.items[flow->endpoint];
	int on = 1;
	int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -errno;
	flow->fds[UPSTREAM] = fd;
	flow->interest[UPSTREAM] = 0;
	/* As on the listening socket (listener.c): the relay and the kernel lane agree. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	if (flow->worker->proxy->sock_ops)
		kernel_lane_claim(flow->worker->proxy->kernel_lane, fd);
	if (connect(fd, &to->any, to->length) && errno != EINPROGRESS)
		return -errno;
	worker_set_deadline(flow, &flow->worker->connecting, worker_now_ms(),
			    settings->connect_timeout);
	return watch_connecting(flow, UPSTREAM);
}

/* The connect to flow->endpoint failed: try the next one until all were tried. */
static void connect_failed(struct flow *flow, int err)
{
	const struct address_list *upstream = &flow->worker->proxy->settings->upstream;

	while (err) {
		flow->tried++;
		report_connect_failure(flow, err);
		if (flow->fds[UPSTREAM] >= 0)
			close(flow->fds[UPSTREAM]);
		flow->fds[UPSTREAM] = -1;
		if (flow->tried >= upstream->count) {
			flow_abort(flow);
			return;
		}
		flow->endpoint = (uint16_t)((flow->endpoint + 1U) % upstream->count);
		err = -connect_endpoint(flow);
	}
}

void flow_start(struct worker *worker, int fd)
{
	const struct address_list *upstream = &worker->proxy->settings->upstream;
	struct flow *flow = calloc(1, sizeof(*flow));
	int err;

	if (!flow) {
		stats_add(&worker->stats.errors[ERROR_RESOURCES], 1);
		close(fd);
		return;
	}
	flow->worker = worker;
	flow->fds[DOWNSTREAM] = fd;
	flow->fds[UPSTREAM] = -1;
	flow->endpoint = (uint16_t)(worker->next_endpoint++ % upstream->count);
	stats_add(&worker->stats.flows_total, 1);
	stats_add(&worker->stats.flows_active, 1);
	worker_set_deadline(flow, &worker->connecting, 0, 0);
	err = -connect_endpoint(flow);
	if (!err)
		err = -watch_connecting(flow, DOWNSTREAM);
	if (err)
		connect_failed(flow, err);
}

static void connecting(struct flow *flow, enum side side, uint32_t events)
{
	int err = 0;
	socklen_t size = sizeof(err);

	if (side == DOWNSTREAM) {
		/* Nothing was read yet: whatever came is looked at once the flow is open. */
		if (events & EPOLLERR)
			flow_abort(flow);
		return;
	}
	if ((events & (EPOLLERR | EPOLLHUP)) &&
	    getsockopt(flow->fds[UPSTREAM], SOL_SOCKET, SO_ERROR, &err, &size))
		err = errno;
	if (err)
		connect_failed(flow, err);
	else if (events & (EPOLLOUT | EPOLLIN | EPOLLRDHUP))
		opened(flow);
}

/* --- What the worker calls --------------------------------------------------------------- */

void flow_ready(struct flow *flow, enum side side, uint32_t events)
{
	struct direction *from = &flow->directions[side];

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		from->hung_up = true;
	if (flow->state == FLOW_CLOSED)
		return;
	if (flow->state == FLOW_CONNECTING) {
		connecting(flow, side, events);
		return;
	}
	if (events & EPOLLERR)
		reset(flow, side);
	turn(flow, side == DOWNSTREAM || (events & EPOLLOUT),
	     side == UPSTREAM || (events & EPOLLOUT));
}

void flow_event(struct flow *flow, const struct sl_event *event)
{
	int d = (int)(event->slot % 2);

	if (flow->state != FLOW_OPEN && flow->state != FLOW_RESETTING)
		return;
	stats_add(&flow->worker->stats.wakeups, 1);
	if (event->kind == SL_EVENT_SMALL_WRITES &&
	    flow->worker->proxy->settings->lane == LANE_AUTO) {
		stats_add(&flow->worker->stats.fallbacks[FALLBACK_SMALL_WRITES], 1);
		traffic_retreat(&flow->traffic, worker_now_ms());
		set_lane(flow, d, SL_LANE_RELAY);
		update_interest(flow);
	}
	turn(flow, d == SL_UP, d == SL_DOWN);
}

/* The lane switching knob: any lane, any time, for tests. */
static void switch_at_random(struct flow *flow)
{
	if (pair(flow))
		return;
	for (int d = SL_UP; d <= SL_DOWN; d++)
		if (flow->directions[d].state == DIRECTION_OPEN)
			set_lane(flow, d, (enum sl_lane)(worker_random(flow->worker) & 1));
	update_interest(flow);
}

void flow_poll(struct flow *flow)
{
	if (flow->state != FLOW_OPEN && flow->state != FLOW_RESETTING)
		return;
	if (flow->worker->proxy->settings->switch_lanes && flow->worker->splicer &&
	    flow->state == FLOW_OPEN) {
		switch_at_random(flow);
		worker_poll_soon(flow);
	}
	turn(flow, true, true);
}

/* In the kernel lane proxyd sees no byte pass: ask the ledgers when one last did. */
static uint64_t last_active_ms(const struct flow *flow)
{
	uint64_t last = flow->deadline - flow->worker->proxy->settings->idle_timeout;

	for (int d = SL_UP; d <= SL_DOWN; d++) {
		struct sl_ledger ledger;

		if (!splice_ledger(flow->pair, (enum sl_direction_index)d, &ledger) &&
		    ledger.last_ns / 1000000 > last)
			last = ledger.last_ns / 1000000;
	}
	return last;
}

void flow_expired(struct flow *flow)
{
	struct worker *worker = flow->worker;
	uint64_t timeout = worker->proxy->settings->idle_timeout;

	if (flow->state == FLOW_CONNECTING) {
		connect_failed(flow, ETIMEDOUT);
		return;
	}
	if (flow->state == FLOW_OPEN && flow->paired) {
		uint64_t last = last_active_ms(flow);

		if (last + timeout > worker_now_ms()) {
			worker_set_deadline(flow, &worker->idle, last, timeout);
			return;
		}
	}
	if (flow->state == FLOW_OPEN)
		stats_add(&worker->stats.errors[ERROR_IDLE_TIMEOUT], 1);
	flow_abort(flow);
}
