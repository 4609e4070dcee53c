// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "flow/worker.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "log.h"

#define EVENTS_A_TURN   256
#define ACCEPT_PAUSE_MS 100

enum worker_request {
	REQUEST_NONE,
	REQUEST_DRAIN,
	REQUEST_STOP,
};

/* xorshift64* (Vigna, 2014) */
uint64_t worker_random(struct worker *worker)
{
	worker->random ^= worker->random >> 12;
	worker->random ^= worker->random << 25;
	worker->random ^= worker->random >> 27;
	return worker->random * 0x2545F4914F6CDD1DULL >> 32;
}

/* --- Flows that ended, and those that wait for time -------------------------------------- */

static void free_closed(struct worker *worker)
{
	struct flow *flow;

	while ((flow = TAILQ_FIRST(&worker->closed))) {
		TAILQ_REMOVE(&worker->closed, flow, by_deadline);
		flow_free(flow);
	}
	if (worker->draining && !stats_get(&worker->stats.flows_active))
		event_base_loopbreak(worker->base);
}

void worker_bury(struct flow *flow)
{
	worker_poll_cancel(flow);
	TAILQ_REMOVE(flow->listed, flow, by_deadline);
	flow->listed = NULL;
	TAILQ_INSERT_TAIL(&flow->worker->closed, flow, by_deadline);
}

static void on_sweep(evutil_socket_t fd, short what, void *user)
{
	struct worker *worker = user;

	(void)fd;
	(void)what;
	worker_sweep(worker);
	free_closed(worker);
}

static void on_poll(evutil_socket_t fd, short what, void *user)
{
	struct worker *worker = user;

	(void)fd;
	(void)what;
	worker_serve_polls(worker);
	free_closed(worker);
}

/* --- Sockets ----------------------------------------------------------------------------- */

/* A flow is aligned to more than 2 bytes: the lowest bit of its address tells the side. */
static uint64_t pack(struct flow *flow, enum side side)
{
	return (uint64_t)(uintptr_t)flow | side;
}

int worker_watch(struct worker *worker, struct flow *flow, enum side side, uint32_t events)
{
	int operation = flow->interest[side] ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	struct epoll_event event = {.events = events | EPOLLET, .data.u64 = pack(flow, side)};

	if (epoll_ctl(worker->epoll, operation, flow->fds[side], &event))
		return -errno;
	flow->interest[side] = events;
	return 0;
}

/*
 * Woken by every small write, proxyd would preempt the writer each time when they share a core, and
 * pay for a wake-up, a segment and a read where one could serve many. Having yielded it finds
 * more to read. On a core that nobody else wants, this returns at once.
 */
static void yield(struct worker *worker)
{
	if (!worker->yields)
		return;
	worker->yields = false;
	sched_yield();
}

static void on_sockets(evutil_socket_t fd, short what, void *user)
{
	struct worker *worker = user;
	struct epoll_event events[EVENTS_A_TURN];
	int count = epoll_wait(fd, events, EVENTS_A_TURN, 0);

	(void)what;
	for (int i = 0; i < count; i++) {
		uint64_t packed = events[i].data.u64;
		struct flow *flow = (struct flow *)(uintptr_t)(packed & ~1ULL);

		flow_ready(flow, (enum side)(packed & 1), events[i].events);
	}
	free_closed(worker);
	yield(worker);
}

static void on_splice_event(void *user, uint32_t pair, const struct sl_event *event)
{
	struct worker *worker = user;

	if (worker->spliced[pair])
		flow_event(worker->spliced[pair], event);
}

static void on_splices(evutil_socket_t fd, short what, void *user)
{
	struct worker *worker = user;

	(void)fd;
	(void)what;
	splicer_dispatch(worker->splicer);
	free_closed(worker);
}

/* --- Listeners --------------------------------------------------------------------------- */

static void pause_listening(struct worker *worker)
{
	for (unsigned int i = 0; i < SETTINGS_ADDRESSES_MAX && worker->listeners[i]; i++)
		evconnlistener_disable(worker->listeners[i]);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int length, void *user)
{
	struct worker *worker = user;

	(void)listener;
	(void)address;
	(void)length;
	flow_start(worker, fd);
	free_closed(worker);
	if (room_is_full(worker->proxy->room, worker->index))
		pause_listening(worker);
}

static void resume_listening(evutil_socket_t fd, short what, void *user)
{
	struct worker *worker = user;

	(void)fd;
	(void)what;
	if (room_is_full(worker->proxy->room, worker->index))
		return;
	for (unsigned int i = 0; i < SETTINGS_ADDRESSES_MAX && worker->listeners[i]; i++)
		evconnlistener_enable(worker->listeners[i]);
}

/* Out of descriptors or memory: let live flows end rather than spin on accept. */
static void on_accept_error(struct evconnlistener *listener, void *user)
{
	const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
	struct worker *worker = user;
	int err = errno;

	if (!stats_get(&worker->stats.errors[ERROR_ACCEPT]))
		log_warning("cannot accept a connection: %s; trying again every %d ms (raise the "
			    "limit of open files?)",
			    strerror(err), ACCEPT_PAUSE_MS);
	stats_add(&worker->stats.errors[ERROR_ACCEPT], 1);
	evconnlistener_disable(listener);
	event_base_once(worker->base, -1, EV_TIMEOUT, resume_listening, worker, &pause);
}

/* Connections that wait to be accepted would be reset with their listening socket. */
static void accept_waiting(struct worker *worker, int listening)
{
	int fd;

	while (!room_is_full(worker->proxy->room, worker->index) &&
	       (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		flow_start(worker, fd);
}

static void stop_listening(struct worker *worker, bool drain)
{
	for (unsigned int i = 0; i < SETTINGS_ADDRESSES_MAX && worker->listeners[i]; i++) {
		if (drain)
			accept_waiting(worker, evconnlistener_get_fd(worker->listeners[i]));
		evconnlistener_free(worker->listeners[i]);
		worker->listeners[i] = NULL;
	}
}

/* --- Requests from other threads --------------------------------------------------------- */

static void abort_all(struct worker *worker, struct flow_list *list)
{
	struct flow *flow;

	while ((flow = TAILQ_FIRST(list))) {
		stats_add(&worker->stats.errors[ERROR_DRAIN_TIMEOUT], 1);
		flow_abort(flow);
	}
}

static void on_mailbox(evutil_socket_t fd, short what, void *user)
{
	struct worker *worker = user;

	(void)fd;
	(void)what;
	stop_listening(worker, atomic_load(&worker->request) == REQUEST_DRAIN);
	worker->draining = true;
	if (atomic_load(&worker->request) == REQUEST_STOP) {
		abort_all(worker, &worker->connecting);
		abort_all(worker, &worker->idle);
		abort_all(worker, &worker->resetting);
	}
	free_closed(worker);
}

static void request(struct worker *worker, enum worker_request what)
{
	atomic_store(&worker->request, (int)what);
	event_active(worker->mailbox, EV_READ, 0);
}

void worker_drain(struct worker *worker)
{
	request(worker, REQUEST_DRAIN);
}

void worker_stop(struct worker *worker)
{
	request(worker, REQUEST_STOP);
}

/* --- Life -------------------------------------------------------------------------------- */

static int add_event(struct worker *worker, struct event **event, int fd, short what,
		     event_callback_fn callback)
{
	*event = event_new(worker->base, fd, what, callback, worker);
	if (!*event)
		return -ENOMEM;
	return what && event_add(*event, NULL) ? -ENOMEM : 0;
}

static int add_splicer(struct worker *worker)
{
	int err;

	if (!worker->proxy->kernel_lane)
		return 0;
	err = splicer_new(worker->proxy->kernel_lane, worker->index, on_splice_event, worker,
			  &worker->splicer);
	if (err)
		return err;
	worker->spliced = calloc(splicer_pairs(worker->splicer), sizeof(*worker->spliced));
	if (!worker->spliced)
		return -ENOMEM;
	return add_event(worker, &worker->splices, splicer_event_fd(worker->splicer),
			 EV_READ | EV_PERSIST, on_splices);
}

static int add_events(struct worker *worker)
{
	int err = add_event(worker, &worker->mailbox, -1, 0, on_mailbox);

	if (!err)
		err = add_event(worker, &worker->room, -1, 0, resume_listening);
	if (!err)
		err = add_event(worker, &worker->sweep, -1, 0, on_sweep);
	if (!err)
		err = add_event(worker, &worker->poll, worker->timer, EV_READ | EV_PERSIST,
				on_poll);
	if (!err)
		err = add_event(worker, &worker->sockets, worker->epoll, EV_READ | EV_PERSIST,
				on_sockets);
	if (!err)
		room_join(worker->proxy->room, worker->index, worker->room);
	return err ? err : add_splicer(worker);
}

static int add_listeners(struct worker *worker, const int *listening)
{
	for (unsigned int i = 0; i < worker->proxy->settings->listen.count; i++) {
		worker->listeners[i] = evconnlistener_new(
			worker->base, on_accept, worker,
			LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, listening[i]);
		if (!worker->listeners[i])
			return -ENOMEM;
		evconnlistener_set_error_cb(worker->listeners[i], on_accept_error);
	}
	return 0;
}

int worker_new(const struct proxy_shared *proxy, uint32_t index, const int *listening,
	       struct worker **out)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int err = 0;

	if (!worker)
		return -ENOMEM;
	worker->proxy = proxy;
	worker->index = index;
	worker->next_endpoint = index;
	worker->random = proxy->settings->switch_seed * 2 + 2 * index + 1;
	TAILQ_INIT(&worker->connecting);
	TAILQ_INIT(&worker->idle);
	TAILQ_INIT(&worker->resetting);
	TAILQ_INIT(&worker->polled);
	TAILQ_INIT(&worker->closed);
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	worker->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	worker->base = event_base_new();
	worker->buffer = malloc(WORKER_BUFFER);
	if (worker->epoll < 0 || worker->timer < 0)
		err = -errno;
	else if (!worker->base || !worker->buffer)
		err = -ENOMEM;
	if (!err)
		err = add_events(worker);
	if (!err)
		err = add_listeners(worker, listening);
	if (err) {
		worker_free(worker);
		return err;
	}
	*out = worker;
	return 0;
}

static void *run(void *user)
{
	struct worker *worker = user;

	event_base_loop(worker->base, EVLOOP_NO_EXIT_ON_EMPTY);
	atomic_store(&worker->ended, true);
	if (worker->proxy->ended)
		worker->proxy->ended(worker->proxy->ended_user);
	return NULL;
}

int worker_start(struct worker *worker)
{
	sigset_t all, before;
	int err;

	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&worker->thread, NULL, run, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	worker->started = !err;
	return -err;
}

void worker_join(struct worker *worker)
{
	if (worker->started)
		pthread_join(worker->thread, NULL);
	worker->started = false;
}

static void free_event(struct event *event)
{
	if (event)
		event_free(event);
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	stop_listening(worker, false);
	abort_all(worker, &worker->connecting);
	abort_all(worker, &worker->idle);
	abort_all(worker, &worker->resetting);
	worker->draining = false;
	free_closed(worker);
	room_quit(worker->proxy->room, worker->index);
	free_event(worker->mailbox);
	free_event(worker->room);
	free_event(worker->sweep);
	free_event(worker->poll);
	free_event(worker->sockets);
	free_event(worker->splices);
	splicer_free(worker->splicer);
	free(worker->spliced);
	pipe_pool_clear(&worker->pipes);
	if (worker->base)
		event_base_free(worker->base);
	if (worker->timer >= 0)
		close(worker->timer);
	if (worker->epoll >= 0)
		close(worker->epoll);
	free(worker->buffer);
	free(worker);
}
