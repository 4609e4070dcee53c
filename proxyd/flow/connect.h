/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CONNECT_H
#define PROXYD_CONNECT_H

#include "flow/flow.h"

/* Connect a FLOW_CONNECTING flow to flow->endpoint, or to the next one that can be reached. */
void connect_start(struct flow *flow);

/* Something happened on one of its sockets: EPOLL* bits. */
void connect_ready(struct flow *flow, enum side side, uint32_t events);

/*
 * The connect to flow->endpoint failed with errno `err`: try the next one, until all were tried and
 * the client is closed.
 */
void connect_failed(struct flow *flow, int err);

#endif
