/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CONNECT_H
#define PROXYD_CONNECT_H

#include "flow/flow.h"

/*
 * Whether a connect that failed with `err`, as errno, is the fault of the endpoint, or of the way
 * to it, not this host's own want of something.
 */
bool connect_is_remote(int err);

/* The route is known: connect the flow to an endpoint, or have it wait for one. */
void connect_start(struct flow *flow);

/* Something happened on one of the sockets of a connecting flow: EPOLL* bits. */
void connect_ready(struct flow *flow, enum side side, uint32_t events);

/* The endpoint's connect failed with `err`, as errno: try another one, or give up. */
void connect_failed(struct flow *flow, int err);

#endif
