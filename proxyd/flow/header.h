/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_HEADER_H
#define PROXYD_HEADER_H

/*
 * PROXY protocol headers in front of a flow's streams: the one that a trusted peer has sent is
 * taken off before anything else looks at its bytes, the one that a server wants is sent before
 * anything else is. Neither is ever in a lane together with a byte of the stream.
 */

#include "config/config.h"
#include "flow/flow.h"

/*
 * The listener takes headers: wait for that of a peer who must send one, go on with setup_admit()
 * where none is due, turn the others away.
 */
void header_await(struct flow *flow);

/* FLOW_HEADER: something came; `final`: nothing more will, or not in time. */
void header_look(struct flow *flow, bool final);

/*
 * Send what the upstream wants to begin with, if anything; for a fresh connection and as often as
 * it is writable. Returns 0 when all is sent, -EAGAIN, or -EPIPE when the connection is broken.
 */
int header_send(struct flow *flow);

/* The connection that was sent some of it is given up: the next one gets all of it. */
void header_rewind(struct flow *flow);

/* A mirror's server wants one too. */
void header_send_mirror(struct flow *flow, enum proxy_version version);

#endif
