/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_SETUP_H
#define PROXYD_SETUP_H

/*
 * What a flow goes through before its first byte moves: is it let in, what do its first bytes tell,
 * which route does it take. connect.c finds it an endpoint. What is only needed until then is kept
 * apart from the flow, and freed when it opens.
 */

#include "flow/flow.h"
#include "intake/inspect.h"
#include "intake/proxy_header.h"
#include "policy/plan.h"

struct setup {
	struct plan *plan; /* a reference */
	const struct config_listener *listener;
	const struct config_route *route;      /* NULL: not found yet */
	struct upstream *upstream;             /* of the plan; NULL: to the original destination */
	const struct config_upstream *options; /* for the upstream connection */
	struct address destination;            /* original destination; length 0: not asked for */
	struct endpoint *tried[UPSTREAM_TRIES_MAX]; /* a reference each */
	unsigned int tried_count;
	uint64_t give_up_at;  /* ms: end of the wait, inspection or connect; 0: not begun */
	uint8_t refused;      /* enum limit_verdict: why it was not let in yet */
	bool inspection_over; /* `inspected` is all that will be known */
	bool heard_end;       /* the client will send no more */
	struct inspected inspected;
	uint8_t header_size; /* 0: not written yet, or none */
	uint8_t header_sent;
	uint8_t header[PROXY_HEADER_WRITTEN_MAX]; /* for the upstream */
};

/* Take charge of a connection that a listener accepted. Always consumes `fd`. */
void setup_start(struct worker *worker, struct plan *plan, unsigned int listener, int fd,
		 const struct address *client);

/* Its source is known: let the flow in, have it wait, or turn it away. */
void setup_admit(struct flow *flow);

/* FLOW_HEADER, FLOW_QUEUED or FLOW_INSPECTING: something happened on the downstream socket: EPOLL*
 * bits. */
void setup_ready(struct flow *flow, uint32_t events);

/* FLOW_QUEUED: what it waited for may have come about. */
void setup_retry(struct flow *flow);

/* FLOW_HEADER, FLOW_QUEUED or FLOW_INSPECTING: the time is up. */
void setup_expired(struct flow *flow);

/* Have setup_retry() called for `timeout` ms at most. */
void setup_wait(struct flow *flow, uint64_t timeout);

void setup_free(struct flow *flow);

#endif
