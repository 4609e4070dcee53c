/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PUMP_H
#define PROXYD_PUMP_H

#include "flow/flow.h"

/*
 * Move a direction's bytes until there are none, or the destination is full. In the kernel lane
 * the last recv() must come after the last publish: a verdict that is taken after it sees what was
 * published, and what was passed before it was read (both run under the source's lock). Leaves the
 * flow in any state, also closed.
 */
void pump(struct flow *flow, int direction);

/*
 * Whether no byte of the direction is between its two ends: unread, held, in a backlog or not
 * acknowledged yet. Ask once the lane is the relay.
 */
bool pump_is_empty(const struct flow *flow, int direction);

#endif
