// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The life of a flow; the states are drawn in flow.h. */
#include "flow/flow.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "flow/account.h"
#include "flow/bandwidth.h"
#include "flow/connect.h"
#include "flow/mirror.h"
#include "flow/offer.h"
#include "flow/pump.h"
#include "flow/record.h"
#include "flow/relay.h"
#include "flow/setup.h"
#include "flow/splicer.h"
#include "flow/worker.h"
#include "intake/interception.h"

/*
 * How long the survivor of a reset may take the bytes that were sent before it. A direct
 * connection would have them in the survivor's own receive buffer by then.
 */
#define RESET_DELIVERY_MS 3000

bool flow_for_kernel_lane(const struct flow *flow)
{
	const struct proxy_shared *proxy = flow->worker->proxy;

	return proxy->settings->lane == LANE_KERNEL && proxy->kernel_lane && !flow_relay_only(flow);
}

bool flow_relay_only(const struct flow *flow)
{
	return flow->directions[SL_UP].relay_only && flow->directions[SL_DOWN].relay_only;
}

bool flow_enrolled(const struct flow *flow)
{
	return flow->pair || kernel_lane_enrols(flow->worker->proxy->kernel_lane);
}

bool flow_is_broken(const struct flow *flow, int d)
{
	return flow_enrolled(flow) && splicer_is_broken(flow->worker->splicer, flow->fds[d]);
}

/*
 * The events that each socket is watched for. EPOLLIN on a socket in the kernel lane would wake
 * proxyd for every skb that it has nothing to do with; EPOLLERR and EPOLLHUP always come.
 */
void flow_update_interest(struct flow *flow)
{
	for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
		const struct direction *from = &flow->directions[side];
		const struct direction *to = &flow->directions[!side];
		uint32_t events = EPOLLRDHUP;

		if (from->lane == SL_LANE_RELAY)
			events |= EPOLLIN | EPOLLPRI;
		if (to->lane == SL_LANE_RELAY || relay_holds(to))
			events |= EPOLLOUT;
		if (flow->interest[side] != events)
			worker_watch(flow->worker, flow, (enum side)side, events);
	}
}

static void touch(struct flow *flow)
{
	worker_set_deadline(flow, worker_now_ms(), flow->idle_timeout);
}

void flow_close_socket(struct flow *flow, enum side side, bool abort)
{
	const struct linger hard = {.l_onoff = 1, .l_linger = 0};

	if (flow->fds[side] < 0)
		return;
	if (abort)
		setsockopt(flow->fds[side], SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	if (flow->pair)
		close(flow->fds[side]);
	else
		kernel_lane_close(flow->worker->proxy->kernel_lane, flow->fds[side]);
	flow->fds[side] = -1;
	flow->interest[side] = 0;
}

/* Give back the places that the flow has taken. */
static void leave(struct flow *flow)
{
	bool wanted = false;

	if (flow->endpoint) {
		if (flow->healthy_at)
			endpoint_report(flow->endpoint, ENDPOINT_SERVED, worker_now_ms());
		wanted = endpoint_release(flow->endpoint);
		flow->endpoint = NULL;
	}
	if (flow->limit) {
		wanted |= limit_release(flow->limit, &flow->source);
		limit_unref(flow->limit);
		flow->limit = NULL;
		interception_unref(flow->interception);
		flow->interception = NULL;
	}
	worker_place_free(flow->worker, wanted);
}

void flow_close(struct flow *flow, bool abort)
{
	struct worker *worker = flow->worker;

	if (flow->state == FLOW_CLOSED)
		return;
	if (flow->pair) {
		splice_set_lane(flow->pair, SL_UP, SL_LANE_RELAY);
		splice_set_lane(flow->pair, SL_DOWN, SL_LANE_RELAY);
		worker->spliced[splice_pair_index(flow->pair)] = NULL;
	}
	flow_close_socket(flow, DOWNSTREAM, abort);
	flow_close_socket(flow, UPSTREAM, abort);
	record_end(flow);
	offer_withdraw(flow);
	if (flow->pair) {
		splice_pair_free(flow->pair);
		flow->pair = NULL;
		if (flow->paired)
			stats_add(&worker->stats.flows_kernel, (uint64_t)-1);
	}
	relay_drop(flow, SL_UP);
	relay_drop(flow, SL_DOWN);
	share_free(flow->share);
	flow->share = NULL;
	if (flow->mirror && !abort)
		mirror_end(flow->mirror);
	mirror_leave(flow->mirror);
	flow->mirror = NULL;
	setup_free(flow);
	leave(flow);
	flow->state = FLOW_CLOSED;
	stats_add(&worker->stats.flows_active, (uint64_t)-1);
	room_leave(worker->proxy->room);
	worker_bury(flow);
}

void flow_abort(struct flow *flow)
{
	flow_close(flow, true);
}

void flow_fault(struct flow *flow, enum error_kind kind, const char *detail)
{
	stats_add(&flow->worker->stats.errors[kind], 1);
	flow->fault = (uint8_t)(kind + 1);
	if (flow->record)
		flow->record->detail = detail;
}

void flow_gone(struct flow *flow)
{
	flow->fault = 0;
	flow_abort(flow);
}

void flow_break(struct flow *flow)
{
	flow_fault(flow, ERROR_UNTRIMMED, NULL);
	flow_abort(flow);
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

/*
 * Returns 0, or -EAGAIN when unread bytes forbid it for now, or -errno when it is given up;
 * -EBADMSG closes the flow.
 */
static int pair(struct flow *flow)
{
	const uint64_t read[2] = {flow->directions[SL_UP].read, flow->directions[SL_DOWN].read};
	struct worker *worker = flow->worker;
	int err;

	if (flow->pair)
		return flow->paired ? 0 : -EOPNOTSUPP;
	/* The ledger starts now: bytes in the relay's hands would be counted out, but never in. */
	if (relay_holds(&flow->directions[SL_UP]) || relay_holds(&flow->directions[SL_DOWN]))
		return -EAGAIN;
	gather_end(flow, SL_UP);
	gather_end(flow, SL_DOWN);
	err = splicer_pair(worker->splicer, flow->fds, read, &flow->pair);
	if (err == -EAGAIN)
		return err;
	if (flow->pair)
		worker->spliced[splice_pair_index(flow->pair)] = flow;
	if (err == -EBADMSG) {
		flow_break(flow);
		return err;
	}
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

	if (direction->lane == lane || direction->relay_only)
		return;
	direction->lane = (uint8_t)lane;
	direction->drained = false;
	splice_set_lane(flow->pair, (enum sl_direction_index)d, lane);
	stats_add(&flow->worker->stats.lane_moves, 1);
}

/* --- Ends -------------------------------------------------------------------------------- */

void flow_reset(struct flow *flow, int side)
{
	if (flow->state == FLOW_RESETTING && flow->reset_side != side)
		flow_abort(flow);
	if (flow->state != FLOW_OPEN)
		return;
	flow_fault(flow, side == DOWNSTREAM ? ERROR_RESET_DOWNSTREAM : ERROR_RESET_UPSTREAM, NULL);
	flow->state = FLOW_RESETTING;
	flow->reset_side = (uint8_t)side;
	relay_drop(flow, !side);
	if (side == UPSTREAM && flow->endpoint && worker_now_ms() < flow->healthy_at) {
		endpoint_report(flow->endpoint, ENDPOINT_RESET_EARLY, worker_now_ms());
		flow->healthy_at = 0;
	}
	worker_set_deadline(flow, worker_now_ms(), RESET_DELIVERY_MS);
}

/* The survivor gets its RST once its own kernel has acknowledged, hence holds, all bytes. */
void flow_finish_reset(struct flow *flow)
{
	int unacknowledged = 0;

	if (!ioctl(flow->fds[!flow->reset_side], SIOCOUTQ, &unacknowledged) && unacknowledged)
		worker_poll_soon(flow);
	else
		flow_abort(flow);
}

void flow_finish(struct flow *flow, int d)
{
	if (flow->state == FLOW_RESETTING) {
		flow_finish_reset(flow);
		return;
	}
	/* Not when recv() first says 0: passed bytes may be on their way behind a backlog. */
	if (d == SL_UP && flow->mirror)
		mirror_end(flow->mirror);
	flow->directions[d].state = DIRECTION_SHUT;
	if (flow->directions[!d].state == DIRECTION_SHUT)
		flow_close(flow, false);
	else if (shutdown(flow->fds[!d], SHUT_WR))
		flow_reset(flow, !d);
}

/* --- Bytes ------------------------------------------------------------------------------- */

static void enter_kernel_lane(struct flow *flow)
{
	int err = pair(flow);

	if (err == -EBADMSG)
		return;
	/* Bytes behind a PROXY header are to be read first; nobody may listen for them yet. */
	if (err == -EAGAIN) {
		flow_update_interest(flow);
		return;
	}
	flow->wants_kernel = false;
	if (err) {
		traffic_retreat(&flow->traffic, worker_now_ms());
		flow_update_interest(flow);
		return;
	}
	for (int d = SL_UP; d <= SL_DOWN; d++)
		if (flow->directions[d].state == DIRECTION_OPEN)
			set_lane(flow, d, SL_LANE_KERNEL);
	flow_update_interest(flow);
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
	if (flow->wants_kernel)
		enter_kernel_lane(flow);
}

/* What the setup decided stays with the flow as far as it needs it. */
static void adopt(struct flow *flow, const struct config_upstream *options)
{
	const struct direction *up = &flow->directions[SL_UP];
	uint64_t rate = flow->setup->listener->limits.flow_bandwidth;
	uint64_t now_ms = worker_now_ms();

	bandwidth_pace(flow->fds[DOWNSTREAM], rate);
	bandwidth_pace(flow->fds[UPSTREAM], rate);
	flow->idle_timeout = options->idle_timeout;
	flow->healthy_at = now_ms + options->ejection.early_reset;
	flow->offering = offer_allowed(flow, rate) ? OFFER_AWAITED : OFFER_NEVER;
	flow->header_added = (uint32_t)(up->sent - up->read);
	if (options->max_lifetime)
		worker_set_lifetime(flow, now_ms, options->max_lifetime);
	if (flow->endpoint)
		endpoint_report(flow->endpoint, ENDPOINT_CONNECTED, now_ms);
	setup_free(flow);
}

void flow_opened(struct flow *flow)
{
	const struct proxy_shared *proxy = flow->worker->proxy;

	flow->state = FLOW_OPEN;
	flow->fault = 0;
	record_opened(flow);
	adopt(flow, flow->setup->options);
	touch(flow);
	flow->wants_kernel = flow_for_kernel_lane(flow);
	/* In the kernel lane its traffic is not seen here. */
	if (flow->wants_kernel || proxy->settings->direct_eager)
		offer_make(flow);
	if (proxy->settings->switch_lanes && proxy->kernel_lane)
		worker_poll_soon(flow);
	turn(flow, !flow->wants_kernel, !flow->wants_kernel);
}

/* --- What the worker calls --------------------------------------------------------------- */

void flow_ready(struct flow *flow, enum side side, uint32_t events)
{
	struct direction *from = &flow->directions[side];

	/* recv() stops at an urgent byte, in line or not: a short read means nothing then. */
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
		from->read_on = true;
	switch (flow->state) {
	case FLOW_HEADER:
	case FLOW_QUEUED:
	case FLOW_INSPECTING:
		setup_ready(flow, events);
		return;
	case FLOW_CONNECTING:
		connect_ready(flow, side, events);
		return;
	case FLOW_CLOSED:
		return;
	}
	if (events & EPOLLERR)
		flow_reset(flow, side);
	turn(flow,
	     side == DOWNSTREAM || (events & EPOLLOUT && relay_holds(&flow->directions[SL_UP])),
	     side == UPSTREAM || (events & EPOLLOUT && relay_holds(&flow->directions[SL_DOWN])));
}

void flow_event(struct flow *flow, const struct sl_event *event)
{
	int d = (int)(event->slot % 2);

	if (flow->state != FLOW_OPEN && flow->state != FLOW_RESETTING)
		return;
	stats_add(&flow->worker->stats.wakeups, 1);
	if (event->kind == SL_EVENT_BROKEN) {
		flow_break(flow);
		return;
	}
	if (event->kind == SL_EVENT_SMALL_WRITES && flow->directions[d].lane == SL_LANE_KERNEL &&
	    flow->worker->proxy->settings->lane == LANE_AUTO) {
		stats_add(&flow->worker->stats.fallbacks[FALLBACK_SMALL_WRITES], 1);
		traffic_retreat(&flow->traffic, worker_now_ms());
		set_lane(flow, d, SL_LANE_RELAY);
		flow_update_interest(flow);
	}
	turn(flow, d == SL_UP, d == SL_DOWN);
}

/* The lane switching knob: any lane, any time, for tests. */
static void switch_at_random(struct flow *flow)
{
	if (flow_relay_only(flow) || pair(flow))
		return;
	for (int d = SL_UP; d <= SL_DOWN; d++)
		if (flow->directions[d].state == DIRECTION_OPEN)
			set_lane(flow, d, (enum sl_lane)(worker_random(flow->worker) & 1));
	flow_update_interest(flow);
}

void flow_poll(struct flow *flow)
{
	if (flow->state != FLOW_OPEN && flow->state != FLOW_RESETTING)
		return;
	if (flow->worker->proxy->settings->switch_lanes && flow->worker->splicer &&
	    flow->state == FLOW_OPEN) {
		switch_at_random(flow);
		if (flow->state == FLOW_OPEN)
			worker_poll_soon(flow);
	}
	turn(flow, true, true);
}

/*
 * Its time is over. A FIN, as from any proxy, if both ends have all that was sent so far; cut off
 * in the middle a stream must not look like a whole one.
 */
static void end(struct flow *flow)
{
	for (int d = SL_UP; flow->pair && d <= SL_DOWN; d++)
		splice_set_lane(flow->pair, (enum sl_direction_index)d, SL_LANE_RELAY);
	flow_close(flow, flow->state != FLOW_OPEN || !pump_is_empty(flow, SL_UP) ||
				 !pump_is_empty(flow, SL_DOWN));
}

void flow_expired(struct flow *flow)
{
	uint64_t timeout = flow->idle_timeout;

	if (flow->state == FLOW_HEADER || flow->state == FLOW_QUEUED ||
	    flow->state == FLOW_INSPECTING) {
		setup_expired(flow);
		return;
	}
	if (flow->state == FLOW_CONNECTING) {
		connect_failed(flow, ETIMEDOUT);
		return;
	}
	if (flow->state == FLOW_OPEN) {
		uint64_t last = account_last_active_ms(flow);

		if (last + timeout > worker_now_ms()) {
			worker_set_deadline(flow, last, timeout);
			return;
		}
	}
	if (flow->state == FLOW_OPEN)
		flow_fault(flow, ERROR_IDLE_TIMEOUT, NULL);
	end(flow);
}

void flow_outlived(struct flow *flow)
{
	flow_fault(flow, ERROR_LIFETIME, NULL);
	end(flow);
}
