// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connecting a new flow to an endpoint of its upstream, or to its original destination. */
#define _GNU_SOURCE
#include "flow/connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "flow/header.h"
#include "flow/kernel_lane.h"
#include "flow/record.h"
#include "flow/setup.h"
#include "flow/worker.h"
#include "log.h"
#include "socket_options.h"

/*
 * What a socket is watched for while the upstream connects. A flow that goes to the kernel lane
 * from its first byte need not hear of it.
 */
static int watch_connecting(struct flow *flow, enum side side)
{
	uint32_t events = EPOLLRDHUP;

	if (side == UPSTREAM || !flow_for_kernel_lane(flow))
		events |= EPOLLOUT;
	if (!flow_for_kernel_lane(flow))
		events |= EPOLLIN | EPOLLPRI;
	return flow->interest[side] == events ? 0 : worker_watch(flow->worker, flow, side, events);
}

/* --- Failures ---------------------------------------------------------------------------- */

static enum error_kind connect_error_kind(int err)
{
	if (err == ECONNREFUSED)
		return ERROR_CONNECT_REFUSED;
	return err == ETIMEDOUT ? ERROR_CONNECT_TIMEOUT : ERROR_CONNECT_OTHER;
}

static const char *upstream_text(const struct flow *flow, char text[ADDRESS_TEXT])
{
	return flow->endpoint ? endpoint_name(flow->endpoint)
			      : address_format(&flow->setup->destination, text);
}

/* What may be wrong with connecting as the client. */
static const char *source_remedy(const struct flow *flow, int err)
{
	if (flow->setup->options->tcp.source.kind == SOURCE_OWN)
		return "";
	switch (err) {
	case EPERM:
		return " (tcp.source: the client's address takes CAP_NET_ADMIN or CAP_NET_RAW)";
	case EAFNOSUPPORT:
		return " (tcp.source: the client has no address of that family)";
	case EADDRINUSE:
	case EADDRNOTAVAIL:
		return " (tcp.source: no port of the client's address is left towards it)";
	case ETIMEDOUT:
		return " (tcp.source: do answers to the client come back by way of this host? see "
		       "proxyd doctor and docs/transparent.md)";
	default:
		return "";
	}
}

static void report_failure(struct flow *flow, int err, bool again)
{
	char to[ADDRESS_TEXT], client[ADDRESS_TEXT];

	flow_fault(flow, connect_error_kind(err), strerrordesc_np(err));
	if (worker_may_log(flow->worker))
		log_warning("client %s: cannot connect to %s: %s%s%s",
			    address_format(&flow->source, client), upstream_text(flow, to),
			    strerror(err), source_remedy(flow, err),
			    again ? "; trying the next endpoint" : "; client closed");
}

static void report_no_endpoint(struct flow *flow, const char *why)
{
	char client[ADDRESS_TEXT];

	/* Where one was tried, why that failed says more. */
	if (flow->setup->tried_count)
		stats_add(&flow->worker->stats.errors[ERROR_NO_ENDPOINT], 1);
	else
		flow_fault(flow, ERROR_NO_ENDPOINT, why);
	if (worker_may_log(flow->worker))
		log_warning("client %s: no endpoint of upstream %s: %s; client closed",
			    address_format(&flow->source, client),
			    upstream_name(flow->setup->upstream), why);
	flow_abort(flow);
}

/* --- Endpoints --------------------------------------------------------------------------- */

static bool may_try_again(struct flow *flow)
{
	struct setup *setup = flow->setup;

	return setup->upstream && setup->tried_count < UPSTREAM_TRIES_MAX &&
	       setup->tried_count < setup->options->retries &&
	       upstream_may_retry(setup->upstream, worker_now_ms());
}

bool connect_is_remote(int err)
{
	return err == ECONNREFUSED || err == ETIMEDOUT || err == ECONNRESET ||
	       err == EHOSTUNREACH || err == ENETUNREACH;
}

static void leave_endpoint(struct flow *flow, int err)
{
	struct endpoint *endpoint = flow->endpoint;
	struct setup *setup = flow->setup;

	flow->endpoint = NULL;
	if (!endpoint)
		return;
	if (connect_is_remote(err))
		endpoint_report(endpoint, ENDPOINT_CONNECT_FAILED, worker_now_ms());
	if (setup->tried_count < UPSTREAM_TRIES_MAX)
		setup->tried[setup->tried_count++] = endpoint_ref(endpoint);
	worker_place_free(flow->worker, endpoint_release(endpoint));
}

/* As whom to connect: as nobody but proxyd, unless the config says so. */
static int bind_source(const struct flow *flow, int fd, const struct address *to, bool with_port)
{
	const struct config_tcp *options = &flow->setup->options->tcp;

	return options->source.kind == SOURCE_OWN
		       ? socket_options_bind(fd, to, options)
		       : socket_options_bind_client(fd, to, &flow->source, with_port);
}

static int try_connect(struct flow *flow, const struct address *to, bool with_port)
{
	const struct config_upstream *options = flow->setup->options;
	int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	int err;

	if (fd < 0)
		return -errno;
	flow->fds[UPSTREAM] = fd;
	err = socket_options_set(fd, &options->tcp, true);
	if (!err)
		err = bind_source(flow, fd, to, with_port);
	if (err)
		return err;
	if (kernel_lane_enrols(flow->worker->proxy->kernel_lane))
		kernel_lane_claim(flow->worker->proxy->kernel_lane, fd);
	return connect(fd, &to->any, to->length) && errno != EINPROGRESS ? -errno : 0;
}

/*
 * Returns 0, with the connect under way or done, or -errno. A client's port may be taken: by a flow
 * of the same client that has not ended yet, or in TIME_WAIT. Then any port of its address will do.
 */
static int connect_to(struct flow *flow, const struct address *to)
{
	const struct config_upstream *options = flow->setup->options;
	bool with_port = options->tcp.source.kind == SOURCE_CLIENT;
	int err = try_connect(flow, to, with_port);

	if (with_port && (err == -EADDRINUSE || err == -EADDRNOTAVAIL)) {
		flow_close_socket(flow, UPSTREAM, false);
		err = try_connect(flow, to, false);
	}
	if (err)
		return err;
	worker_set_deadline(flow, worker_now_ms(), options->connect_timeout);
	return watch_connecting(flow, UPSTREAM);
}

/* Returns 0 with an endpoint or the original destination picked, or as upstream_pick(). */
static int pick(struct flow *flow, const struct address **to)
{
	struct setup *setup = flow->setup;
	const struct upstream_request request = {
		.source = &flow->source,
		.tried = setup->tried,
		.tried_count = setup->tried_count,
		.now_ms = worker_now_ms(),
		.random = worker_random(flow->worker),
	};
	int err;

	*to = &setup->destination;
	if (!setup->upstream)
		return 0;
	err = upstream_pick(setup->upstream, &request, &flow->endpoint);
	if (!err)
		*to = endpoint_address(flow->endpoint);
	return err;
}

static void no_endpoint(struct flow *flow, int err)
{
	const struct config_upstream *options = flow->setup->options;

	/* A name that is being looked up is waited for as its connect would be. */
	if (err == -EBUSY && options->queue_timeout)
		setup_wait(flow, options->queue_timeout);
	else if (err == -EAGAIN && options->connect_timeout)
		setup_wait(flow, options->connect_timeout);
	else if (err == -EBUSY)
		report_no_endpoint(flow, "all have max_flows");
	else if (err == -EAGAIN)
		report_no_endpoint(flow, "no name is resolved");
	else
		report_no_endpoint(flow, "none is usable");
}

static bool retreat(struct flow *flow, int err)
{
	bool again = may_try_again(flow);

	report_failure(flow, err, again);
	leave_endpoint(flow, err);
	flow_close_socket(flow, UPSTREAM, false);
	flow->directions[SL_DOWN].read_on = false;
	header_rewind(flow);
	if (!again)
		flow_abort(flow);
	return again;
}

/*
 * Flows that end, and checks and look-ups too, give descriptors back: a client who is in already
 * waits as for a connect. Who else waits for the endpoint's place would find no descriptor either.
 */
static bool wait_for_descriptor(struct flow *flow, int err)
{
	uint64_t timeout = flow->setup->options->connect_timeout;

	if ((err != -EMFILE && err != -ENFILE) || !timeout)
		return false;
	if (flow->endpoint)
		endpoint_release(flow->endpoint);
	flow->endpoint = NULL;
	setup_wait(flow, timeout);
	return true;
}

static void next_endpoint(struct flow *flow)
{
	for (;;) {
		const struct address *to;
		int err = pick(flow, &to);

		if (err) {
			no_endpoint(flow, err);
			return;
		}
		err = connect_to(flow, to);
		if (!err || wait_for_descriptor(flow, err))
			return;
		if (!retreat(flow, -err))
			return;
	}
}

void connect_failed(struct flow *flow, int err)
{
	if (retreat(flow, err))
		next_endpoint(flow);
}

/* The downstream first: whichever endpoint is connected in the end, the client must be heard. */
void connect_start(struct flow *flow)
{
	flow->state = FLOW_CONNECTING;
	record_connect(flow);
	if (watch_connecting(flow, DOWNSTREAM)) {
		flow_fault(flow, ERROR_RESOURCES, NULL);
		flow_abort(flow);
		return;
	}
	next_endpoint(flow);
}

/* Nothing of the client's was read yet, so that the next endpoint may still have it all. */
static void connected(struct flow *flow)
{
	int err = header_send(flow);

	if (!err)
		flow_opened(flow);
	else if (err != -EAGAIN)
		connect_failed(flow, ECONNRESET);
}

void connect_ready(struct flow *flow, enum side side, uint32_t events)
{
	int err = 0;
	socklen_t size = sizeof(err);

	if (side == DOWNSTREAM) {
		/* Nothing was read yet: whatever came is looked at once the flow is open. */
		if (events & EPOLLERR)
			flow_gone(flow);
		return;
	}
	if ((events & (EPOLLERR | EPOLLHUP)) &&
	    getsockopt(flow->fds[UPSTREAM], SOL_SOCKET, SO_ERROR, &err, &size))
		err = errno;
	if (err)
		connect_failed(flow, err);
	else if (events & (EPOLLOUT | EPOLLIN | EPOLLRDHUP))
		connected(flow);
}
