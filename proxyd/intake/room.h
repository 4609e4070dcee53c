/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ROOM_H
#define PROXYD_ROOM_H

/*
 * How many flows proxyd has descriptors for, all workers together. A client that is accepted
 * without a descriptor for its upstream can only be reset; one that stays in the listening socket's
 * queue is served when another flow has ended.
 */

#include <event2/event.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sidelane/shared.h"

struct room {
	_Atomic uint64_t flows_max;
	uint64_t pipes_max; /* for splice(2), of each worker */
	uint64_t sockets;   /* descriptors that room_measure() has found for flows */
	_Atomic uint64_t flows;
	_Atomic uint64_t waiting; /* workers that do not accept, a bit each */
	struct event *wake[SL_WORKERS_MAX];
	atomic_bool said;
};

/*
 * Divide what is left of the limit of open files (RLIMIT_NOFILE) once everything else is open, but
 * for `others` that will be. Returns 0, or -EMFILE when it is enough for no flow.
 */
int room_measure(struct room *room, unsigned int workers, unsigned int others);

/*
 * From the main thread: so many more descriptors are needed for other things now than at
 * room_measure(), or fewer.
 */
void room_follow(struct room *room, int64_t more);

/* `wake` is activated when there is room again for a worker that room_is_full() has told to wait.
 */
void room_join(struct room *room, uint32_t worker, struct event *wake);
void room_quit(struct room *room, uint32_t worker);

/* A flow begins. */
void room_enter(struct room *room);

/* A flow has ended, its descriptors are closed. */
void room_leave(struct room *room);

/*
 * Whether the worker must leave its clients in the queue. Asked after each accept, so that as
 * many flows as there are workers may be too many: room_measure() keeps descriptors for these.
 */
bool room_is_full(struct room *room, uint32_t worker);

#endif
