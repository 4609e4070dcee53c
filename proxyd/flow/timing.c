// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A worker's clocks: deadlines, in ms, and polls, in us. */
#define _GNU_SOURCE
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "flow/worker.h"

#define SWEEP_MS_MIN   100
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

/*
 * A list's flows share one timeout, so a new deadline belongs at the tail, but for a flow in the
 * kernel lane whose last byte is found to be older: walk back for it.
 */
void worker_set_deadline(struct flow *flow, struct flow_list *list, uint64_t since,
			 uint64_t timeout)
{
	struct flow *before;

	if (flow->listed)
		TAILQ_REMOVE(flow->listed, flow, by_deadline);
	flow->listed = list;
	flow->deadline = timeout ? since + timeout : UINT64_MAX;
	before = TAILQ_LAST(list, flow_list);
	while (before && before->deadline > flow->deadline)
		before = TAILQ_PREV(before, flow_list, by_deadline);
	if (before)
		TAILQ_INSERT_AFTER(list, before, flow, by_deadline);
	else
		TAILQ_INSERT_HEAD(list, flow, by_deadline);
	arm_sweep(flow->worker, TAILQ_FIRST(list)->deadline);
}

static void sweep_list(struct worker *worker, struct flow_list *list)
{
	uint64_t now_ms = worker_now_ms();
	struct flow *flow;

	while ((flow = TAILQ_FIRST(list)) && flow->deadline <= now_ms)
		flow_expired(flow);
	if (flow)
		arm_sweep(worker, flow->deadline);
}

void worker_sweep(struct worker *worker)
{
	worker->sweep_at = 0;
	sweep_list(worker, &worker->connecting);
	sweep_list(worker, &worker->idle);
	sweep_list(worker, &worker->resetting);
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

void worker_poll_soon(struct flow *flow)
{
	struct worker *worker = flow->worker;

	if (flow->polled)
		return;
	flow->polled = true;
	flow->poll_at = worker_now_us() + ((uint64_t)POLL_FIRST_US << flow->polls);
	if (flow->polls < POLL_DOUBLINGS)
		flow->polls++;
	TAILQ_INSERT_TAIL(&worker->polled, flow, by_poll);
	arm_timer(worker, flow->poll_at);
}

void worker_poll_cancel(struct flow *flow)
{
	if (!flow->polled)
		return;
	flow->polled = false;
	TAILQ_REMOVE(&flow->worker->polled, flow, by_poll);
}

/* Flows that ask again while they are served wait for the next time. */
void worker_serve_polls(struct worker *worker)
{
	struct flow_list due = TAILQ_HEAD_INITIALIZER(due);
	uint64_t expirations, now_us, next = UINT64_MAX;
	struct flow *flow;

	if (read(worker->timer, &expirations, sizeof(expirations)) < 0)
		return;
	worker->timer_at = 0;
	now_us = worker_now_us();
	TAILQ_CONCAT(&due, &worker->polled, by_poll);
	while ((flow = TAILQ_FIRST(&due))) {
		TAILQ_REMOVE(&due, flow, by_poll);
		if (flow->poll_at > now_us) {
			TAILQ_INSERT_TAIL(&worker->polled, flow, by_poll);
			next = flow->poll_at < next ? flow->poll_at : next;
			continue;
		}
		flow->polled = false;
		flow_poll(flow);
	}
	if (next != UINT64_MAX)
		arm_timer(worker, next);
}
