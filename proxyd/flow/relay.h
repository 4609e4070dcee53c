/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_RELAY_H
#define PROXYD_RELAY_H

/*
 * The relay lane: takes bytes from a direction's source and gives them to its destination, through
 * the worker's buffer or, for bulk, through a pipe with splice(2). At most one buffer or one
 * pipe is held for a destination that does not keep up.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "flow/flow.h"

/* Whether bytes were taken that the destination has not got yet. */
bool relay_holds(const struct direction *direction);

/*
 * Take what the source has, at most `room` bytes. With `pass_on` the bytes go to the destination at
 * once and only what it does not take is held; otherwise all of them are held. Returns the number
 * of bytes taken, 0 at the end of the stream, -EAGAIN when there are none, -EPIPE when the
 * destination is broken, or another -errno of the source.
 */
ssize_t relay_take(struct flow *flow, int direction, size_t room, bool pass_on);

/*
 * Give bytes that are not held, while none is: taken otherwise, or proxyd's own. Returns how many,
 * -EAGAIN when the destination is full, -EPIPE.
 */
ssize_t relay_give_bytes(struct flow *flow, int direction, const unsigned char *bytes, size_t size);

/* Give held bytes. Returns 0 when none is left, -EAGAIN when the destination is full, -EPIPE. */
int relay_give(struct flow *flow, int direction);

/* Drop what is held, with its memory. */
void relay_drop(struct flow *flow, int direction);

#endif
