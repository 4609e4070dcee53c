// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/room.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "log.h"

#define SOCKETS_A_FLOW 2

/* One pipe of two ends for so many flows: without one a direction is copied. */
#define FLOWS_A_PIPE 8

/* What comes and goes besides flows: clients of the control socket, libevent, libc. */
#define RESERVE 16

/* Descriptors are counted up to here: beyond, an inherited one is covered by the reserve. */
#define COUNTED_MAX 4096

static uint64_t open_descriptors(uint64_t limit)
{
	uint64_t count = 0;

	for (int fd = 0; (uint64_t)fd < limit && fd < COUNTED_MAX; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

int room_measure(struct room *room, unsigned int workers, unsigned int others)
{
	struct rlimit limit;
	uint64_t used, left;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	used = open_descriptors(limit.rlim_cur) + RESERVE + others + SOCKETS_A_FLOW * workers;
	left = limit.rlim_cur > used ? limit.rlim_cur - used : 0;
	room->flows_max = left * FLOWS_A_PIPE / (SOCKETS_A_FLOW * FLOWS_A_PIPE + 2);
	room->pipes_max = room->flows_max / FLOWS_A_PIPE / workers;
	room->sockets = room->flows_max * SOCKETS_A_FLOW;
	return room->flows_max ? 0 : -EMFILE;
}

static void wake_all(struct room *room)
{
	uint64_t waiting = atomic_exchange(&room->waiting, 0);

	for (uint32_t worker = 0; waiting; worker++, waiting >>= 1)
		if (waiting & 1)
			event_active(room->wake[worker], EV_READ, 0);
}

/* Pipes may be taken at any time: it is flows that make room. One is always tried. */
void room_follow(struct room *room, int64_t more)
{
	int64_t flows = ((int64_t)room->sockets - more) / SOCKETS_A_FLOW;

	atomic_store(&room->flows_max, flows > 0 ? (uint64_t)flows : 1);
	wake_all(room);
}

void room_join(struct room *room, uint32_t worker, struct event *wake)
{
	room->wake[worker] = wake;
}

void room_quit(struct room *room, uint32_t worker)
{
	atomic_fetch_and(&room->waiting, ~(1ULL << worker));
}

void room_enter(struct room *room)
{
	atomic_fetch_add(&room->flows, 1);
}

void room_leave(struct room *room)
{
	if (atomic_fetch_sub(&room->flows, 1) > room->flows_max || !atomic_load(&room->waiting))
		return;
	wake_all(room);
}

bool room_is_full(struct room *room, uint32_t worker)
{
	if (atomic_load(&room->flows) < room->flows_max)
		return false;
	atomic_fetch_or(&room->waiting, 1ULL << worker);
	/*
	 * A flow that ended just before that has woken nobody. The worker may be waiting for
	 * another listener, so it goes on being woken: once too often does no harm.
	 */
	if (atomic_load(&room->flows) < room->flows_max)
		return false;
	if (!atomic_exchange(&room->said, true))
		log_warning(
			"%llu flows at once: there are no descriptors for more, further clients "
			"wait until one ends (raise the limit of open files: ulimit -n, "
			"LimitNOFILE=)",
			(unsigned long long)room->flows_max);
	return true;
}
