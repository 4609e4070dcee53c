// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/header.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "flow/mirror.h"
#include "flow/relay.h"
#include "flow/setup.h"
#include "flow/worker.h"
#include "log.h"
#include "policy/cidr.h"

/* --- A peer's ---------------------------------------------------------------------------- */

static void refuse(struct flow *flow, const char *why)
{
	char peer[ADDRESS_TEXT];

	flow_fault(flow, ERROR_PROXY_HEADER, why);
	if (worker_may_log(flow->worker))
		log_warning("listener %s: %s %s; it was reset", flow->setup->listener->name,
			    address_format(&flow->source, peer), why);
	flow_abort(flow);
}

/*
 * All of it has been peeked, so it is there; recv(2) may stop short of it at an urgent byte alone.
 * The bytes count as read: TCP has counted them as received, and the verdict program, if the socket
 * was enrolled when it was established, as passed.
 */
static int take(struct flow *flow, size_t size)
{
	while (size) {
		ssize_t taken =
			recv(flow->fds[DOWNSTREAM], flow->worker->buffer, size, MSG_DONTWAIT);

		if (taken <= 0 && errno != EINTR)
			return -EPROTO;
		if (taken <= 0)
			continue;
		size -= (size_t)taken;
		flow->directions[SL_UP].read += (size_t)taken;
	}
	return 0;
}

static void accept_header(struct flow *flow, const struct proxy_header *header)
{
	if (take(flow, header->size)) {
		refuse(flow, "sent a PROXY header that could not be read");
		return;
	}
	if (header->source.length) {
		flow->source = header->source;
		flow->setup->destination = header->destination;
	}
	setup_admit(flow);
}

void header_look(struct flow *flow, bool final)
{
	struct proxy_header header;
	ssize_t size = recv(flow->fds[DOWNSTREAM], flow->worker->buffer, PROXY_HEADER_MAX,
			    MSG_PEEK | MSG_DONTWAIT);
	bool ended = final && flow->setup->heard_end;

	if (size < 0 && errno != EAGAIN && errno != EINTR) {
		flow_abort(flow);
		return;
	}
	switch (proxy_header_parse(flow->worker->buffer, size > 0 ? (size_t)size : 0, &header)) {
	case PARSE_DONE:
		accept_header(flow, &header);
		return;
	case PARSE_BAD:
		refuse(flow, "may send a PROXY header, but what it sent is none");
		return;
	case PARSE_MORE:
		break;
	}
	if (ended && size <= 0)
		flow_close(flow, false); /* a check of whether somebody listens */
	else if (final)
		refuse(flow, ended ? "ended within its PROXY header"
				   : "has sent no whole PROXY header in time");
}

void header_await(struct flow *flow)
{
	const struct config_proxy_header *config = &flow->setup->listener->proxy_header;

	if (!cidr_list_holds(&config->from, &flow->source)) {
		if (config->others == PROXY_OTHERS_PASS)
			setup_admit(flow);
		else
			refuse(flow, "is not among those that proxy_protocol.from believes");
		return;
	}
	flow->state = FLOW_HEADER;
	worker_set_deadline(flow, worker_now_ms(), config->timeout);
	if (!worker_watch(flow->worker, flow, DOWNSTREAM, EPOLLIN | EPOLLRDHUP)) {
		header_look(flow, false);
		return;
	}
	flow_fault(flow, ERROR_RESOURCES, NULL);
	flow_abort(flow);
}

/* --- A server's -------------------------------------------------------------------------- */

static size_t write_header(const struct flow *flow, enum proxy_version version, uint8_t *out)
{
	return proxy_header_write((unsigned int)version, &flow->source, &flow->setup->destination,
				  out);
}

int header_send(struct flow *flow)
{
	struct setup *setup = flow->setup;

	if (setup->options->proxy_protocol == PROXY_NONE)
		return 0;
	if (!setup->header_size)
		setup->header_size =
			(uint8_t)write_header(flow, setup->options->proxy_protocol, setup->header);
	while (setup->header_sent < setup->header_size) {
		ssize_t sent = relay_give_bytes(flow, SL_UP, setup->header + setup->header_sent,
						setup->header_size - setup->header_sent);

		if (sent < 0)
			return (int)sent;
		setup->header_sent = (uint8_t)(setup->header_sent + sent);
	}
	return 0;
}

void header_rewind(struct flow *flow)
{
	flow->directions[SL_UP].sent = 0;
	flow->setup->header_sent = 0;
}

void header_send_mirror(struct flow *flow, enum proxy_version version)
{
	uint8_t header[PROXY_HEADER_WRITTEN_MAX];

	if (version != PROXY_NONE)
		mirror_give(flow->mirror, header, write_header(flow, version, header));
}
