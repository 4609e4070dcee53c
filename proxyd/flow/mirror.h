/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_MIRROR_H
#define PROXYD_MIRROR_H

/*
 * A copy of the client's bytes for a second upstream, whose answers are read and discarded. It
 * never holds the flow up: what the mirror does not take at once is buffered, and when the buffer
 * is full, or the connect fails, or it resets, the mirror is given up. A stream with a hole is
 * worth nothing, so it is sent a RST, and the rest of the client's bytes is dropped, and counted.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "intake/room.h"
#include "policy/upstream.h"
#include "stats.h"

/* All mirrors of a worker; for its thread alone. */
struct mirrors;

/* The counters and the room outlive it. Returns 0 or -errno. */
int mirrors_new(struct event_base *base, struct stats *stats, struct room *room,
		struct mirrors **out);

/* Resets those that have not ended yet. NULL is fine. */
void mirrors_free(struct mirrors *mirrors);

struct mirror;

struct mirror_target {
	struct upstream *upstream;
	const struct config_upstream *options; /* of the upstream; looked at in mirror_new() only */
	const struct address *source;          /* the client */
	uint64_t random;                       /* a fresh random number */
};

/*
 * Begin to connect. An upstream that cannot be had is no failure: the mirror is then one that was
 * given up. Returns 0 or -ENOMEM.
 */
int mirror_new(struct mirrors *mirrors, const struct mirror_target *target, struct mirror **out);

/* Whether it still takes bytes. */
bool mirror_takes(const struct mirror *mirror);

/* The client has sent these bytes. */
void mirror_give(struct mirror *mirror, const void *bytes, size_t size);

/* Bytes of the client's that are gone already, of a mirror that takes none. */
void mirror_miss(struct mirror *mirror, size_t size);

/* The client has sent its FIN: so does the mirror, behind the last byte. */
void mirror_end(struct mirror *mirror);

/*
 * The flow has ended, and the mirror is not its any more. If the client's stream had its end, the
 * mirror may still take what is left, a few seconds after the last progress at most; otherwise
 * it is reset. NULL is fine.
 */
void mirror_leave(struct mirror *mirror);

#endif
