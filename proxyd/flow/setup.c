// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/setup.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "flow/bandwidth.h"
#include "flow/connect.h"
#include "flow/header.h"
#include "flow/mirror.h"
#include "flow/record.h"
#include "flow/worker.h"
#include "intake/destination.h"
#include "policy/route.h"

/* Bytes of a client that is turned away which are taken off its hands, about. */
#define UNREAD_MAX (1024 * 1024)

static void reject(struct flow *flow, enum error_kind why)
{
	flow_fault(flow, why, NULL);
	flow_abort(flow);
}

void setup_free(struct flow *flow)
{
	struct setup *setup = flow->setup;

	if (!setup)
		return;
	flow->setup = NULL;
	for (unsigned int i = 0; i < setup->tried_count; i++)
		endpoint_unref(setup->tried[i]);
	plan_unref(setup->plan);
	free(setup);
}

/* --- Waiting ----------------------------------------------------------------------------- */

void setup_wait(struct flow *flow, uint64_t timeout)
{
	struct setup *setup = flow->setup;

	if (!setup->give_up_at)
		setup->give_up_at = worker_now_ms() + timeout;
	flow->state = FLOW_QUEUED;
	/*
	 * By the timeout itself, and only when it is not set: what is left of it would be another
	 * one each time the flow asks, and put it among flows that wait for something else, to be
	 * walked past.
	 */
	if (flow->deadline.at != setup->give_up_at)
		worker_set_deadline(flow, setup->give_up_at - timeout, timeout);
	/* A client that goes away frees its place in the queue. */
	if (flow->interest[DOWNSTREAM] || !worker_watch(flow->worker, flow, DOWNSTREAM, EPOLLRDHUP))
		worker_wait(flow);
	else
		reject(flow, ERROR_RESOURCES);
}

/* --- Routing ----------------------------------------------------------------------------- */

/*
 * A FIN, not a RST, which unread bytes would make of it (tcp_close, 6.18). One who sends as fast as
 * it is read would hold the worker up, and gets its RST.
 */
static void close_quietly(struct flow *flow)
{
	ssize_t dropped = 1;

	for (int i = 0; dropped > 0 && i < UNREAD_MAX / WORKER_BUFFER; i++)
		dropped = recv(flow->fds[DOWNSTREAM], flow->worker->buffer, WORKER_BUFFER,
			       MSG_DONTWAIT);
	flow_close(flow, false);
}

/* What all flows of a listener may have together is counted where proxyd reads. */
static int take_share(struct flow *flow)
{
	const struct setup *setup = flow->setup;
	size_t listener = (size_t)(setup->listener - setup->plan->config->listeners);
	struct bandwidth *bandwidth = setup->plan->bandwidths[listener];

	if (!bandwidth_rate(bandwidth))
		return 0;
	flow->directions[SL_UP].relay_only = true;
	flow->directions[SL_DOWN].relay_only = true;
	return share_new(bandwidth, &flow->share);
}

/*
 * At once, so that it does not miss the first bytes while it connects. An upstream that cannot be
 * had leaves a mirror that counts what it misses; only without memory for it is there none.
 */
static void start_mirror(struct flow *flow)
{
	const struct setup *setup = flow->setup;
	int mirror = setup->route->mirror;
	struct mirror_target target = {.source = &flow->source};

	if (mirror == CONFIG_NONE)
		return;
	flow->directions[SL_UP].relay_only = true;
	target.upstream = setup->plan->upstreams[mirror];
	target.options = &setup->plan->config->upstreams[mirror];
	target.random = worker_random(flow->worker);
	if (!mirror_new(flow->worker->mirrors, &target, &flow->mirror))
		header_send_mirror(flow, target.options->proxy_protocol);
}

static void follow_route(struct flow *flow, const struct config_route *route)
{
	struct setup *setup = flow->setup;

	setup->route = route;
	setup->give_up_at = 0;
	if (take_share(flow)) {
		reject(flow, ERROR_RESOURCES);
		return;
	}
	switch (route->action) {
	case ROUTE_UPSTREAM:
		setup->upstream = setup->plan->upstreams[route->upstream];
		setup->options = &setup->plan->config->upstreams[route->upstream];
		start_mirror(flow);
		connect_start(flow);
		return;
	case ROUTE_ORIGINAL:
		setup->options = &setup->plan->config->direct;
		/* To where it was accepted it would come in again, and again. */
		if (destination_is_own(&setup->destination, flow->fds[DOWNSTREAM],
				       setup->listener)) {
			reject(flow, ERROR_NO_ROUTE);
			return;
		}
		start_mirror(flow);
		connect_start(flow);
		return;
	case ROUTE_RESET:
		reject(flow, ERROR_REJECTED);
		return;
	case ROUTE_CLOSE:
		flow_fault(flow, ERROR_REJECTED, NULL);
		close_quietly(flow);
		return;
	}
}

static bool find_route(struct flow *flow)
{
	struct setup *setup = flow->setup;
	const struct route_facts facts = {
		.listener = setup->listener->name,
		.source = &flow->source,
		.destination = &setup->destination,
		.inspected = setup->inspection_over ? &setup->inspected : NULL,
	};
	const struct config_route *route;

	switch (route_find(setup->plan->config, &facts, &route)) {
	case ROUTE_FOUND:
		follow_route(flow, route);
		return true;
	case ROUTE_NONE:
		reject(flow, ERROR_NO_ROUTE);
		return true;
	case ROUTE_INSPECT:
		break;
	}
	return false;
}

/* --- Inspection -------------------------------------------------------------------------- */

/*
 * Peek, so that the bytes go the way of all others afterwards. `final`: no more will come in time.
 */
static void look(struct flow *flow, bool final)
{
	struct setup *setup = flow->setup;
	uint64_t limit = setup->listener->inspect_size;
	size_t room = limit < WORKER_BUFFER ? limit : WORKER_BUFFER;
	ssize_t size =
		recv(flow->fds[DOWNSTREAM], flow->worker->buffer, room, MSG_PEEK | MSG_DONTWAIT);

	if (size < 0 && errno != EAGAIN && errno != EINTR) {
		flow_abort(flow);
		return;
	}
	if (size < 0)
		size = 0;
	final |= (size_t)size == room;
	if (inspect(flow->worker->buffer, (size_t)size, final, &setup->inspected) != INSPECT_DONE)
		return;
	setup->inspection_over = true;
	find_route(flow);
}

static void begin_inspection(struct flow *flow)
{
	flow->state = FLOW_INSPECTING;
	worker_set_deadline(flow, worker_now_ms(), flow->setup->listener->inspect_timeout);
	if (worker_watch(flow->worker, flow, DOWNSTREAM, EPOLLIN | EPOLLRDHUP))
		reject(flow, ERROR_RESOURCES);
	else
		look(flow, false);
}

void setup_ready(struct flow *flow, uint32_t events)
{
	flow->setup->heard_end |= (events & EPOLLRDHUP) != 0;
	if (events & EPOLLERR)
		flow_gone(flow);
	else if (flow->state == FLOW_HEADER)
		header_look(flow, flow->setup->heard_end);
	else if (flow->state == FLOW_INSPECTING)
		look(flow, flow->setup->heard_end);
}

/* --- Admission --------------------------------------------------------------------------- */

static enum error_kind turned_away(enum limit_verdict verdict)
{
	switch (verdict) {
	case LIMIT_DENIED:
		return ERROR_DENIED;
	case LIMIT_SOURCE_RATE:
		return ERROR_SOURCE_RATE;
	case LIMIT_SOURCE_FLOWS:
		return ERROR_SOURCE_FLOWS;
	default:
		return ERROR_MAX_FLOWS;
	}
}

static struct limit *limit_of(const struct setup *setup)
{
	return setup->plan->limits[setup->listener - setup->plan->config->listeners];
}

static struct interception *interception_of(const struct setup *setup)
{
	return setup->plan->interceptions[setup->listener - setup->plan->config->listeners];
}

void setup_admit(struct flow *flow)
{
	struct setup *setup = flow->setup;
	const struct config_limits *limits = &setup->listener->limits;
	struct limit *limit = limit_of(setup);
	enum limit_verdict verdict = limit_admit(limit, &flow->source, worker_now_ms());

	if (verdict == LIMIT_ADMITTED) {
		flow->limit = limit_ref(limit);
		flow->interception = interception_ref(interception_of(setup));
		setup->give_up_at = 0;
		if (!find_route(flow))
			begin_inspection(flow);
		return;
	}
	setup->refused = (uint8_t)verdict;
	if (verdict != LIMIT_DENIED && limits->action == LIMIT_QUEUE) {
		setup_wait(flow, limits->queue_timeout);
		return;
	}
	limit_turned_away(limit, verdict);
	reject(flow, turned_away(verdict));
}

void setup_retry(struct flow *flow)
{
	if (flow->limit)
		connect_start(flow);
	else
		setup_admit(flow);
}

void setup_expired(struct flow *flow)
{
	if (flow->state == FLOW_HEADER) {
		header_look(flow, true);
		return;
	}
	if (flow->state == FLOW_INSPECTING) {
		look(flow, true);
		return;
	}
	if (!flow->limit)
		limit_turned_away(limit_of(flow->setup), flow->setup->refused);
	reject(flow, ERROR_QUEUE_TIMEOUT);
}

static int prepare(struct flow *flow, struct plan *plan, unsigned int listener, int fd)
{
	struct setup *setup = calloc(1, sizeof(*setup));

	if (!setup)
		return -ENOMEM;
	flow->setup = setup;
	setup->plan = plan_ref(plan);
	setup->listener = &plan->config->listeners[listener];
	if (plan->needs_destination)
		destination_of(fd, plan->interceptions[listener], &setup->destination);
	return 0;
}

void setup_start(struct worker *worker, struct plan *plan, unsigned int listener, int fd,
		 const struct address *client)
{
	struct flow *flow = calloc(1, sizeof(*flow));

	if (!flow || prepare(flow, plan, listener, fd) ||
	    roll_add(&worker->flows, flow, &flow->place)) {
		if (flow)
			setup_free(flow);
		free(flow);
		stats_add(&worker->stats.errors[ERROR_RESOURCES], 1);
		kernel_lane_close(worker->proxy->kernel_lane, fd);
		return;
	}
	flow->worker = worker;
	flow->source = *client;
	flow->id = stats_get(&worker->stats.flows_total) * SL_WORKERS_MAX + worker->index;
	flow->born_ms = worker_now_ms();
	record_begin(flow);
	flow->fds[DOWNSTREAM] = fd;
	flow->fds[UPSTREAM] = -1;
	stats_add(&worker->stats.flows_total, 1);
	stats_add(&worker->stats.flows_active, 1);
	room_enter(worker->proxy->room);
	worker_set_deadline(flow, 0, 0);
	if (flow->setup->listener->proxy_header.from.count)
		header_await(flow);
	else
		setup_admit(flow);
}
