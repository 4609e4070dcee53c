// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Connecting a new flow to its upstream. */
#include "flow/connect.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "flow/kernel_lane.h"
#include "flow/worker.h"
#include "log.h"

#define LOG_LINES_MAX 50 /* a second, by each worker */

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
	return worker_watch(flow->worker, flow, side, events);
}

static enum error_kind connect_error_kind(int err)
{
	if (err == ECONNREFUSED)
		return ERROR_CONNECT_REFUSED;
	return err == ETIMEDOUT ? ERROR_CONNECT_TIMEOUT : ERROR_CONNECT_OTHER;
}

/* An upstream that is down fails for every client: a few lines a second tell as much. */
static bool may_log(struct worker *worker)
{
	uint64_t second = worker_now_ms() / 1000;

	if (worker->log_second != second) {
		if (worker->log_lines > LOG_LINES_MAX)
			log_warning("%u more connects failed in that second",
				    worker->log_lines - LOG_LINES_MAX);
		worker->log_second = second;
		worker->log_lines = 0;
	}
	return worker->log_lines++ < LOG_LINES_MAX;
}

static void report_connect_failure(struct flow *flow, int err)
{
	const struct address_list *upstream = &flow->worker->proxy->settings->upstream;
	char endpoint[ADDRESS_TEXT], client[ADDRESS_TEXT];
	struct address downstream = {.length = sizeof(downstream.ipv6)};

	stats_add(&flow->worker->stats.errors[connect_error_kind(err)], 1);
	if (!may_log(flow->worker))
		return;
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

void connect_failed(struct flow *flow, int err)
{
	const struct address_list *upstream = &flow->worker->proxy->settings->upstream;

	while (err) {
		flow->tried++;
		report_connect_failure(flow, err);
		flow_close_socket(flow, UPSTREAM, false);
		flow->directions[SL_DOWN].read_on = false;
		if (flow->tried >= upstream->count) {
			flow_abort(flow);
			return;
		}
		flow->endpoint = (uint16_t)((flow->endpoint + 1U) % upstream->count);
		err = -connect_endpoint(flow);
	}
}

/* The downstream first: whichever endpoint is connected in the end, the client must be heard. */
void connect_start(struct flow *flow)
{
	int err = -watch_connecting(flow, DOWNSTREAM);

	if (err) {
		stats_add(&flow->worker->stats.errors[ERROR_RESOURCES], 1);
		flow_abort(flow);
		return;
	}
	err = -connect_endpoint(flow);
	if (err)
		connect_failed(flow, err);
}

void connect_ready(struct flow *flow, enum side side, uint32_t events)
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
		flow_opened(flow);
}
