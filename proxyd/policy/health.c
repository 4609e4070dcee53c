// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "policy/health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>

#include "clock.h"
#include "log.h"
#include "policy/check.h"

/* How soon an endpoint that has come, by DNS or a reload, is noticed. */
#define REFRESH_MS 1000

/* First checks are this far apart, or closer so that an interval holds them all. */
#define FIRST_SPACING_MS 10

#define INTERVAL_MIN_MS  10

/* Checks that cannot be made are reported this often. */
#define SAY_AGAIN_MS (60 * 1000)

/* Of the descriptors that proxyd may have, checks of one upstream use this part at once. */
#define CHECKS_PART   32
#define CHECKS_MIN    8
#define CHECKS_MAX    256

#define ENDPOINTS_MAX 65536

/* An endpoint that is checked. */
struct watch {
	struct health *health;
	struct endpoint *endpoint;
	struct event *timer; /* the next check */
	struct check *check; /* under way, or NULL */
	TAILQ_ENTRY(watch) by_wait;
	uint64_t began_ms; /* the last check */
	uint32_t streak;   /* results in a row that speak against `up` */
	bool up;
	bool seen;    /* there was a result */
	bool waiting; /* for a check of another endpoint to end */
	char reason[CHECK_REASON];
};

TAILQ_HEAD(watch_list, watch);

struct health {
	struct event_base *base;
	struct upstream *upstream;
	struct check_plan *plan;
	struct event *refresh;
	struct watch **watches; /* by the endpoint's place in memory */
	unsigned int count;
	struct watch_list waiting;
	unsigned int running, running_max;
	uint64_t said_ms; /* when it was said that a check could not be made; 0: never */
};

static const struct config_health *config_of(const struct health *health)
{
	return check_plan_health(health->plan);
}

/* --- Time -------------------------------------------------------------------------------- */

static uint64_t interval_of(const struct health *health)
{
	uint64_t interval = config_of(health)->interval;

	return interval < INTERVAL_MIN_MS ? INTERVAL_MIN_MS : interval;
}

/* From the beginning of one check to that of the next. */
static uint64_t next_interval(const struct health *health)
{
	uint64_t interval = interval_of(health);
	uint32_t percent = config_of(health)->jitter_percent;
	uint64_t jitter = interval * (percent > 100 ? 100 : percent) / 100;

	return interval - jitter + clock_spread(2 * jitter);
}

static void schedule(struct watch *watch)
{
	uint64_t due = watch->began_ms + next_interval(watch->health);
	uint64_t now = clock_ms();

	clock_arm(watch->timer, due > now ? due - now : 0);
}

/* When the `index`th of `count` first checks is due: soon, but not all at once. */
static void schedule_first(struct watch *watch, unsigned int index, unsigned int count)
{
	uint64_t window = (uint64_t)count * FIRST_SPACING_MS;
	uint64_t interval = interval_of(watch->health);

	if (window > interval)
		window = interval;
	clock_arm(watch->timer, window * index / count + clock_spread(window / count));
}

/* --- Results ----------------------------------------------------------------------------- */

static void set_state(struct watch *watch, bool up, const char *reason)
{
	snprintf(watch->reason, sizeof(watch->reason), "%s", reason);
	watch->up = up;
	watch->streak = 0;
	endpoint_set_health(watch->endpoint, up, watch->reason, clock_ms());
}

static void say_turn(const struct watch *watch)
{
	const char *upstream = upstream_name(watch->health->upstream);
	const char *endpoint = endpoint_name(watch->endpoint);

	if (watch->up)
		log_notice("upstream %s: %s is back: %s", upstream, endpoint, watch->reason);
	else
		log_warning("upstream %s: %s is down: %s", upstream, endpoint, watch->reason);
}

/*
 * One result. An endpoint begins up, for want of knowledge: the very first result decides alone.
 */
static void count_result(struct watch *watch, const struct check_result *result)
{
	const struct config_health *config = config_of(watch->health);
	uint32_t needed = !watch->seen ? 1 : watch->up ? config->fall : config->rise;
	bool first = !watch->seen;

	watch->seen = true;
	if (result->passed == watch->up) {
		watch->streak = 0;
		if (first || (!watch->up && strcmp(watch->reason, result->reason)))
			set_state(watch, watch->up, result->reason);
		return;
	}
	if (++watch->streak < needed)
		return;
	set_state(watch, result->passed, result->reason);
	say_turn(watch);
}

static void say_unable(struct health *health, const char *reason)
{
	uint64_t now = clock_ms();

	if (health->said_ms && now - health->said_ms < SAY_AGAIN_MS)
		return;
	health->said_ms = now;
	log_warning("upstream %s: an endpoint cannot be checked and stays as it is: %s",
		    upstream_name(health->upstream), reason);
}

/* --- Checks ------------------------------------------------------------------------------ */

static void start_check(struct watch *watch);

static void start_waiting(struct health *health)
{
	struct watch *watch;

	while (health->running < health->running_max && (watch = TAILQ_FIRST(&health->waiting))) {
		TAILQ_REMOVE(&health->waiting, watch, by_wait);
		watch->waiting = false;
		start_check(watch);
	}
}

static void drop_check(struct watch *watch)
{
	if (!watch->check)
		return;
	check_free(watch->check);
	watch->check = NULL;
	watch->health->running--;
}

static void on_done(void *user, const struct check_result *result)
{
	struct watch *watch = user;
	struct health *health = watch->health;

	if (result->unable)
		say_unable(health, result->reason);
	else
		count_result(watch, result);
	drop_check(watch);
	schedule(watch);
	start_waiting(health);
}

static void start_check(struct watch *watch)
{
	struct health *health = watch->health;

	watch->began_ms = clock_ms();
	if (check_new(health->base, health->plan, endpoint_address(watch->endpoint), on_done, watch,
		      &watch->check)) {
		say_unable(health, strerror(ENOMEM));
		schedule(watch);
		return;
	}
	health->running++;
}

static void on_due(evutil_socket_t fd, short what, void *user)
{
	struct watch *watch = user;
	struct health *health = watch->health;

	(void)fd;
	(void)what;
	if (health->running < health->running_max) {
		start_check(watch);
		return;
	}
	watch->waiting = true;
	TAILQ_INSERT_TAIL(&health->waiting, watch, by_wait);
}

/* --- Which endpoints ---------------------------------------------------------------------- */

/* Takes the reference over. Returns NULL out of memory. */
static struct watch *watch_new(struct health *health, struct endpoint *endpoint)
{
	struct watch *watch = calloc(1, sizeof(*watch));

	if (watch)
		watch->timer = evtimer_new(health->base, on_due, watch);
	if (!watch || !watch->timer) {
		free(watch);
		endpoint_unref(endpoint);
		return NULL;
	}
	watch->health = health;
	watch->endpoint = endpoint;
	watch->up = true;
	return watch;
}

static void watch_free(struct watch *watch)
{
	drop_check(watch);
	if (watch->waiting)
		TAILQ_REMOVE(&watch->health->waiting, watch, by_wait);
	event_free(watch->timer);
	endpoint_unref(watch->endpoint);
	free(watch);
}

static int by_place(const void *left, const void *right)
{
	uintptr_t a = (uintptr_t) * (struct endpoint *const *)left;
	uintptr_t b = (uintptr_t) * (struct endpoint *const *)right;

	return a < b ? -1 : a > b;
}

/* The present endpoints, sorted, each with a reference. Returns NULL out of memory. */
static struct endpoint **list_endpoints(struct upstream *upstream, unsigned int *count)
{
	struct endpoint **list = NULL, **larger;

	for (unsigned int room = 64; room <= ENDPOINTS_MAX; room *= 2) {
		larger = realloc(list, room * sizeof(*list));
		if (!larger)
			break;
		list = larger;
		*count = upstream_endpoints(upstream, list, room);
		if (*count < room || room == ENDPOINTS_MAX) {
			qsort(list, *count, sizeof(*list), by_place);
			return list;
		}
		for (unsigned int i = 0; i < *count; i++)
			endpoint_unref(list[i]);
	}
	free(list);
	*count = 0;
	return NULL;
}

/* Watches that were just made have nothing ahead of them yet. */
static void schedule_fresh(struct health *health, unsigned int fresh)
{
	unsigned int index = 0;

	for (unsigned int i = 0; i < health->count && index < fresh; i++) {
		struct watch *watch = health->watches[i];

		if (!watch->began_ms && !watch->waiting && !evtimer_pending(watch->timer, NULL))
			schedule_first(watch, index++, fresh);
	}
}

/*
 * Watch what is in `list` (sorted, its references are taken over) and nothing else, in one walk
 * along both.
 */
static void watch_all(struct health *health, struct watch **next, struct endpoint **list,
		      unsigned int count)
{
	unsigned int old = 0, kept = 0, fresh = 0;

	for (unsigned int i = 0; i < count; i++) {
		while (old < health->count && health->watches[old]->endpoint != list[i] &&
		       by_place(&health->watches[old]->endpoint, &list[i]) < 0)
			watch_free(health->watches[old++]);
		if (old < health->count && health->watches[old]->endpoint == list[i]) {
			endpoint_unref(list[i]);
			next[kept++] = health->watches[old++];
		} else if ((next[kept] = watch_new(health, list[i]))) {
			kept++;
			fresh++;
		}
	}
	while (old < health->count)
		watch_free(health->watches[old++]);
	free(health->watches);
	health->watches = next;
	health->count = kept;
	schedule_fresh(health, fresh);
}

static void refresh(struct health *health)
{
	unsigned int count = 0;
	struct endpoint **list = list_endpoints(health->upstream, &count);
	struct watch **next = list ? calloc(count + 1U, sizeof(*next)) : NULL;

	if (next)
		watch_all(health, next, list, count);
	else
		for (unsigned int i = 0; list && i < count; i++)
			endpoint_unref(list[i]);
	free(list);
	start_waiting(health);
}

static void on_refresh(evutil_socket_t fd, short what, void *user)
{
	struct health *health = user;
	uint64_t interval = interval_of(health);

	(void)fd;
	(void)what;
	refresh(health);
	clock_arm(health->refresh, interval < REFRESH_MS ? interval : REFRESH_MS);
}

static void watch_none(struct health *health)
{
	evtimer_del(health->refresh);
	for (unsigned int i = 0; i < health->count; i++)
		watch_free(health->watches[i]);
	free(health->watches);
	health->watches = NULL;
	health->count = 0;
}

/* --- The whole ---------------------------------------------------------------------------- */

static unsigned int checks_at_once(void)
{
	struct rlimit limit;
	rlim_t part;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return CHECKS_MIN;
	part = limit.rlim_cur / CHECKS_PART;
	if (part > CHECKS_MAX)
		return CHECKS_MAX;
	return part < CHECKS_MIN ? CHECKS_MIN : (unsigned int)part;
}

int health_new(struct event_base *base, struct upstream *upstream,
	       const struct config_health *config, const struct config_tcp *tcp,
	       struct health **out)
{
	struct health *health = calloc(1, sizeof(*health));

	if (!health)
		return -ENOMEM;
	health->base = base;
	health->upstream = upstream_ref(upstream);
	health->running_max = checks_at_once();
	TAILQ_INIT(&health->waiting);
	health->refresh = evtimer_new(base, on_refresh, health);
	if (!health->refresh || check_plan_new(config, tcp, &health->plan)) {
		health_free(health);
		return -ENOMEM;
	}
	if (config->kind != HEALTH_NONE)
		clock_arm(health->refresh, 0);
	*out = health;
	return 0;
}

/* No check speaks for or against them any more. */
static void bring_back(struct health *health)
{
	for (unsigned int i = 0; i < health->count; i++) {
		if (health->watches[i]->up)
			continue;
		set_state(health->watches[i], true, "not checked any more");
		say_turn(health->watches[i]);
	}
}

int health_update(struct health *health, const struct config_health *config,
		  const struct config_tcp *tcp)
{
	uint64_t interval = interval_of(health);
	struct check_plan *plan;
	int err = check_plan_new(config, tcp, &plan);

	if (err)
		return err;
	check_plan_unref(health->plan);
	health->plan = plan;
	if (config->kind == HEALTH_NONE) {
		bring_back(health);
		watch_none(health);
		return 0;
	}
	/* What was due in an hour may be due now. */
	for (unsigned int i = 0; interval != interval_of(health) && i < health->count; i++)
		if (evtimer_pending(health->watches[i]->timer, NULL))
			schedule_first(health->watches[i], i, health->count);
	clock_arm(health->refresh, 0);
	return 0;
}

void health_free(struct health *health)
{
	if (!health)
		return;
	if (health->refresh) {
		watch_none(health);
		event_free(health->refresh);
	}
	check_plan_unref(health->plan);
	upstream_unref(health->upstream);
	free(health);
}
