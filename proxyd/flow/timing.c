// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A worker's clocks: deadlines, in ms, polls, in us, and flows that wait for a place. */
#define _GNU_SOURCE
#include <stddef.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "flow/setup.h"
#include "flow/worker.h"
#include "log.h"

#define LOG_LINES_MAX  50 /* a second, by each worker */
#define SWEEP_MS_MIN   100
#define WAIT_ROUND_MS  20 /* for places that nobody tells of: a rate, a name */
#define POLL_FIRST_US  50
#define POLL_DOUBLINGS 7 /* up to 6.4 ms, beyond the jiffy in which the kernel retries a send */

static uint64_t now(clockid_t clock, uint64_t unit)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * (1000000000 / unit) + (uint64_t)time.tv_nsec / unit;
}

uint64_t worker_now_ms(void)
{
	return now(CLOCK_MONOTONIC_COARSE, 1000000);
}

uint64_t worker_now_us(void)
{
	return now(CLOCK_MONOTONIC, 1000);
}

/* An upstream that is down fails for every client. */
bool worker_may_log(struct worker *worker)
{
	uint64_t second = worker_now_ms() / 1000;

	if (worker->log_second != second) {
		if (worker->log_lines > LOG_LINES_MAX)
			log_warning("%u more clients could not be served in that second",
				    worker->log_lines - LOG_LINES_MAX);
		worker->log_second = second;
		worker->log_lines = 0;
	}
	return worker->log_lines++ < LOG_LINES_MAX;
}

/* --- Deadlines --------------------------------------------------------------------------- */

/* Sweep when the next deadline is due, and not before: idle flows cost no wake-ups. */
static void arm_sweep(struct worker *worker, uint64_t deadline)
{
	uint64_t now_ms = worker_now_ms();
	uint64_t wait = deadline > now_ms ? deadline - now_ms : 0;
	struct timeval interval;

	if (deadline == UINT64_MAX || (worker->sweep_at && worker->sweep_at <= deadline))
		return;
	if (wait < SWEEP_MS_MIN)
		wait = SWEEP_MS_MIN;
	interval.tv_sec = (time_t)(wait / 1000);
	interval.tv_usec = (suseconds_t)(wait % 1000 * 1000);
	worker->sweep_at = deadline;
	evtimer_add(worker->sweep, &interval);
}

void worker_set_deadline(struct flow *flow, uint64_t since, uint64_t timeout)
{
	deadline_set(&flow->worker->deadlines, &flow->deadline, since, timeout);
	arm_sweep(flow->worker, flow->deadline.at);
}

void worker_set_lifetime(struct flow *flow, uint64_t since, uint64_t timeout)
{
	deadline_set(&flow->worker->lifetimes, &flow->lifetime, since, timeout);
	arm_sweep(flow->worker, flow->lifetime.at);
}

static struct flow *flow_of(struct deadline *deadline, size_t member)
{
	return (struct flow *)(void *)((char *)deadline - member);
}

void worker_sweep(struct worker *worker)
{
	uint64_t now_ms = worker_now_ms();
	struct deadline *first;

	worker->sweep_at = 0;
	while ((first = deadlines_first(&worker->deadlines)) && first->at <= now_ms)
		flow_expired(flow_of(first, offsetof(struct flow, deadline)));
	if (first)
		arm_sweep(worker, first->at);
	while ((first = deadlines_first(&worker->lifetimes)) && first->at <= now_ms)
		flow_outlived(flow_of(first, offsetof(struct flow, lifetime)));
	if (first)
		arm_sweep(worker, first->at);
}

/* --- Polls ------------------------------------------------------------------------------- */

static void arm_timer(struct worker *worker, uint64_t at_us)
{
	const struct itimerspec when = {
		.it_value = {.tv_sec = (time_t)(at_us / 1000000),
			     .tv_nsec = (long)(at_us % 1000000 * 1000)},
	};

	if (worker->timer_at && worker->timer_at <= at_us)
		return;
	worker->timer_at = at_us;
	timerfd_settime(worker->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

void worker_list(struct flow *flow, struct flow_list *list)
{
	if (flow->listed)
		TAILQ_REMOVE(flow->listed, flow, by_turn);
	flow->listed = list;
	if (list)
		TAILQ_INSERT_TAIL(list, flow, by_turn);
}

void worker_poll_at(struct flow *flow, uint64_t at_us)
{
	if (flow->listed && flow->poll_at <= at_us)
		return;
	flow->poll_at = at_us;
	if (!flow->listed)
		worker_list(flow, &flow->worker->polled);
	arm_timer(flow->worker, at_us);
}

void worker_poll_soon(struct flow *flow)
{
	uint64_t at_us = worker_now_us() + ((uint64_t)POLL_FIRST_US << flow->polls);

	if (flow->listed && flow->poll_at <= at_us)
		return;
	if (flow->polls < POLL_DOUBLINGS)
		flow->polls++;
	worker_poll_at(flow, at_us);
}

/* Flows that ask again while they are served wait for the next time: behind the last one of now. */
void worker_serve_polls(struct worker *worker)
{
	struct flow *last = TAILQ_LAST(&worker->polled, flow_list), *flow = NULL;
	uint64_t expirations, now_us, next = UINT64_MAX;

	if (read(worker->timer, &expirations, sizeof(expirations)) < 0)
		return;
	worker->timer_at = 0;
	now_us = worker_now_us();
	while (flow != last) {
		flow = TAILQ_FIRST(&worker->polled);
		worker_list(flow, NULL);
		if (flow->poll_at > now_us) {
			worker_list(flow, &worker->polled);
			next = flow->poll_at < next ? flow->poll_at : next;
			continue;
		}
		flow_poll(flow);
	}
	if (next != UINT64_MAX)
		arm_timer(worker, next);
}

/* --- Waiting for a place ----------------------------------------------------------------- */

void worker_wait(struct flow *flow)
{
	const struct timeval round = {.tv_usec = WAIT_ROUND_MS * 1000};
	struct worker *worker = flow->worker;

	worker_list(flow, &worker->waiting);
	atomic_store(&worker->has_waiting, true);
	if (!evtimer_pending(worker->wait, NULL))
		evtimer_add(worker->wait, &round);
}

/* In the order in which they came. */
void worker_serve_waiting(struct worker *worker)
{
	struct flow *last = TAILQ_LAST(&worker->waiting, flow_list), *flow = NULL;

	while (flow != last) {
		flow = TAILQ_FIRST(&worker->waiting);
		worker_list(flow, NULL);
		setup_retry(flow);
	}
	atomic_store(&worker->has_waiting, !TAILQ_EMPTY(&worker->waiting));
}

void worker_place_free(struct worker *worker, bool wanted)
{
	const struct proxy_shared *proxy = worker->proxy;

	for (unsigned int i = 0; wanted && i < proxy->worker_count; i++)
		if (atomic_load(&proxy->workers[i]->has_waiting))
			event_active(proxy->workers[i]->mailbox, EV_READ, 0);
}
