// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <sys/resource.h>
#include <unistd.h>

#include "intake/room.h"
#include "log.h"

#define WORKERS 4

static void limit_files(rlim_t most)
{
	struct rlimit limit;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = most;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static uint64_t descriptors_left(void)
{
	int first = dup(STDERR_FILENO), fd;
	uint64_t count = 1;

	cr_assert_geq(first, 0);
	while ((fd = dup(STDERR_FILENO)) >= 0)
		count++;
	cr_assert_eq(errno, EMFILE);
	close_range((unsigned int)first, ~0U, 0);
	return count;
}

Test(room, measures_what_fits)
{
	const rlim_t limits[] = {100, 200, 1000, 5000};

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct room room = {0};
		uint64_t needed, left;

		limit_files(limits[i]);
		cr_assert_eq(room_measure(&room, WORKERS, 0), 0);
		left = descriptors_left();
		/* Each worker may have a flow too many. */
		needed = 2 * (room.flows_max + WORKERS) + 2 * WORKERS * room.pipes_max;
		cr_expect_leq(needed, left, "%lu needed, %lu left of %lu", needed, left, limits[i]);
		cr_expect_geq(needed + 16 + 4 * WORKERS, left, "%lu used, %lu left of %lu", needed,
			      left, limits[i]);
	}
}

Test(room, is_refused_where_no_flow_fits)
{
	struct room room = {0};

	limit_files(3 + 16 + 2 * WORKERS);
	cr_assert_eq(room_measure(&room, WORKERS, 0), -EMFILE);
}

static void count_wake(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	++*(unsigned int *)user;
}

Test(room, wakes_who_waits_when_a_flow_ends)
{
	struct room room = {.flows_max = 2};
	struct event_base *base = event_base_new();
	unsigned int wakes[2] = {0};
	struct event *events[2];

	log_set_level(LOG_LEVEL_ERROR);
	for (uint32_t i = 0; i < 2; i++) {
		events[i] = event_new(base, -1, 0, count_wake, &wakes[i]);
		room_join(&room, i, events[i]);
	}
	room_enter(&room);
	cr_assert_not(room_is_full(&room, 0));
	room_enter(&room);
	cr_assert(room_is_full(&room, 0));
	/* The other worker was not asked yet, and accepts one too many. */
	room_enter(&room);
	cr_assert(room_is_full(&room, 1));

	room_leave(&room);
	event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert(wakes[0] == 0 && wakes[1] == 0, "there is still no room");
	room_leave(&room);
	event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert(wakes[0] == 1 && wakes[1] == 1);
	room_leave(&room);
	event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert(wakes[0] == 1 && wakes[1] == 1, "nobody waits any more");

	/* Who has gone is not woken. */
	room_enter(&room);
	room_enter(&room);
	cr_assert(room_is_full(&room, 0) && room_is_full(&room, 1));
	room_quit(&room, 0);
	room_leave(&room);
	event_base_loop(base, EVLOOP_NONBLOCK);
	cr_assert(wakes[0] == 1 && wakes[1] == 2);
	for (uint32_t i = 0; i < 2; i++)
		event_free(events[i]);
	event_base_free(base);
}
