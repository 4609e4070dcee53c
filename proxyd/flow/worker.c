// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "flow/worker.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "flow/mirror.h"
#include "flow/setup.h"
#include "log.h"

#define EVENTS_A_TURN 256

/* How to end. */
enum worker_request {
	REQUEST_NONE,
	REQUEST_DRAIN,
	REQUEST_STOP,
};

/* A look to be taken; or another plan to follow; or, without either, a listener to close. */
struct mail {
	STAILQ_ENTRY(mail) entry;
	struct look *look;     /* a reference; NULL: none */
	struct plan *plan;     /* a reference; NULL: none */
	struct door **doors;   /* with a plan */
	unsigned int listener; /* index, without a plan */
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
		worker_list(flow, NULL);
		flow_free(flow);
	}
	if (worker->draining && !stats_get(&worker->stats.flows_active))
		event_base_loopbreak(worker->base);
}

void worker_bury(struct flow *flow)
{
	deadline_clear(&flow->deadline);
	deadline_clear(&flow->lifetime);
	roll_remove(&flow->worker->flows, flow->place);
	worker_list(flow, &flow->worker->closed);
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

static void on_wait(evutil_socket_t fd, short what, void *user)
{
	struct worker *worker = user;

	(void)fd;
	(void)what;
	worker_serve_waiting(worker);
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

static void on_sockets(evutil_socket_t fd, short what, void *user)
{
	struct worker *worker = user;
	struct epoll_event events[EVENTS_A_TURN];
	int count = epoll_wait(fd, events, EVENTS_A_TURN, 0);

	(void)what;
	traffic_turn(&worker->crowd, count > 0 ? (unsigned int)count : 0);
	for (int i = 0; i < count; i++) {
		uint64_t packed = events[i].data.u64;
		struct flow *flow = (struct flow *)(uintptr_t)(packed & ~1ULL);

		flow_ready(flow, (enum side)(packed & 1), events[i].events);
	}
	free_closed(worker);
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

static void on_accepted(void *user, unsigned int listener, int fd, const struct address *client)
{
	struct worker *worker = user;

	setup_start(worker, worker->plan, listener, fd, client);
	free_closed(worker);
}

/* --- Mail from other threads ------------------------------------------------------------- */

static void abort_all(struct worker *worker)
{
	struct deadline *first;

	while ((first = deadlines_first(&worker->deadlines))) {
		struct flow *flow =
			(struct flow *)(void *)((char *)first - offsetof(struct flow, deadline));

		flow_fault(flow, ERROR_DRAIN_TIMEOUT, NULL);
		flow_abort(flow);
	}
}

static void follow(struct worker *worker, struct plan *plan, struct door **doors)
{
	struct plan *before = worker->plan;

	acceptor_follow(worker->acceptor, plan->config, doors);
	worker->plan = plan;
	plan_unref(before);
}

static void show(const struct worker *worker, struct look *look)
{
	look_fill(look, &worker->flows);
	sem_post(&look->done);
	look_unref(look);
}

static void obey_mail(struct worker *worker, struct mail *mail)
{
	if (!mail->plan) {
		acceptor_close(worker->acceptor, mail->listener, true);
	} else if (worker->draining) {
		acceptor_abandon(mail->doors, mail->plan->config->listener_count);
		plan_unref(mail->plan);
	} else {
		follow(worker, mail->plan, mail->doors);
	}
	atomic_fetch_add(&worker->obeyed, 1);
	sem_post(worker->proxy->obeyed);
}

static void read_mail(struct worker *worker, struct mail *mail)
{
	if (mail->look)
		show(worker, mail->look);
	else
		obey_mail(worker, mail);
	free(mail);
}

/* What drain and stop ask for needs no memory: they must not fail. */
static void obey(struct worker *worker, enum worker_request request)
{
	if (request == REQUEST_NONE)
		return;
	acceptor_close_all(worker->acceptor, request == REQUEST_DRAIN);
	worker->draining = true;
	if (request == REQUEST_STOP)
		abort_all(worker);
}

static struct mail *next_mail(struct worker *worker)
{
	struct mail *mail;

	pthread_mutex_lock(&worker->mail_lock);
	mail = STAILQ_FIRST(&worker->mail);
	if (mail)
		STAILQ_REMOVE_HEAD(&worker->mail, entry);
	pthread_mutex_unlock(&worker->mail_lock);
	return mail;
}

static void on_mailbox(evutil_socket_t fd, short what, void *user)
{
	struct worker *worker = user;
	struct mail *mail;

	(void)fd;
	(void)what;
	while ((mail = next_mail(worker)))
		read_mail(worker, mail);
	obey(worker, (enum worker_request)atomic_load(&worker->request));
	worker_serve_waiting(worker);
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

void worker_send(struct worker *worker, struct mail *mail)
{
	atomic_fetch_add(&worker->ordered, !mail->look);
	pthread_mutex_lock(&worker->mail_lock);
	STAILQ_INSERT_TAIL(&worker->mail, mail, entry);
	pthread_mutex_unlock(&worker->mail_lock);
	event_active(worker->mailbox, EV_READ, 0);
}

int worker_drain_listener(struct worker *worker, unsigned int listener)
{
	struct mail *mail = calloc(1, sizeof(*mail));

	if (!mail)
		return -ENOMEM;
	mail->listener = listener;
	worker_send(worker, mail);
	return 0;
}

int worker_look(struct worker *worker, struct look *look)
{
	struct mail *mail = calloc(1, sizeof(*mail));

	if (!mail)
		return -ENOMEM;
	mail->look = look_ref(look);
	worker_send(worker, mail);
	return 0;
}

int worker_prepare(struct worker *worker, struct plan *plan, const int *listening,
		   struct mail **out)
{
	struct door **doors;
	struct mail *mail;
	int err = acceptor_prepare(worker->acceptor, plan->config, listening, &doors);

	if (err)
		return err;
	mail = calloc(1, sizeof(*mail));
	if (!mail) {
		acceptor_abandon(doors, plan->config->listener_count);
		return -ENOMEM;
	}
	mail->plan = plan_ref(plan);
	mail->doors = doors;
	*out = mail;
	return 0;
}

void worker_abandon(struct mail *mail)
{
	if (!mail)
		return;
	acceptor_abandon(mail->doors, mail->plan->config->listener_count);
	plan_unref(mail->plan);
	free(mail);
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
		err = add_event(worker, &worker->sweep, -1, 0, on_sweep);
	if (!err)
		err = add_event(worker, &worker->wait, -1, 0, on_wait);
	if (!err)
		err = add_event(worker, &worker->poll, worker->timer, EV_READ | EV_PERSIST,
				on_poll);
	if (!err)
		err = add_event(worker, &worker->sockets, worker->epoll, EV_READ | EV_PERSIST,
				on_sockets);
	return err ? err : add_splicer(worker);
}

static int open_descriptors(struct worker *worker)
{
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	worker->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	worker->base = event_base_new();
	worker->buffer = malloc(WORKER_BUFFER);
	if (worker->epoll < 0 || worker->timer < 0)
		return -errno;
	return worker->base && worker->buffer ? 0 : -ENOMEM;
}

static void init_lists(struct worker *worker)
{
	deadlines_init(&worker->deadlines);
	deadlines_init(&worker->lifetimes);
	TAILQ_INIT(&worker->waiting);
	TAILQ_INIT(&worker->polled);
	TAILQ_INIT(&worker->closed);
	STAILQ_INIT(&worker->mail);
	pthread_mutex_init(&worker->mail_lock, NULL);
}

int worker_new(const struct proxy_shared *proxy, uint32_t index, struct plan *plan,
	       struct worker **out)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int err;

	if (!worker)
		return -ENOMEM;
	worker->proxy = proxy;
	worker->index = index;
	worker->plan = plan_ref(plan);
	worker->random = proxy->settings->switch_seed * 2 + 2 * index + 1;
	init_lists(worker);
	err = open_descriptors(worker);
	if (!err)
		err = add_events(worker);
	if (!err)
		err = mirrors_new(worker->base, &worker->stats, proxy->room, &worker->mirrors);
	if (!err)
		err = acceptor_new(
			&(struct acceptor_options){
				worker->base, proxy->room, index, on_accepted, worker,
				&worker->stats.errors[ERROR_ACCEPT],
				kernel_lane_enrols(proxy->kernel_lane) ? proxy->kernel_lane : NULL},
			&worker->acceptor);
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
	sem_post(worker->proxy->obeyed);
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
	struct mail *mail;

	if (!worker)
		return;
	worker->draining = true;
	while ((mail = next_mail(worker)))
		read_mail(worker, mail);
	acceptor_free(worker->acceptor);
	abort_all(worker);
	worker->draining = false;
	free_closed(worker);
	free_event(worker->mailbox);
	free_event(worker->sweep);
	free_event(worker->wait);
	free_event(worker->poll);
	free_event(worker->sockets);
	free_event(worker->splices);
	splicer_free(worker->splicer);
	free(worker->spliced);
	pipe_pool_clear(&worker->pipes);
	roll_clear(&worker->flows);
	mirrors_free(worker->mirrors);
	if (worker->base)
		event_base_free(worker->base);
	if (worker->timer >= 0)
		close(worker->timer);
	if (worker->epoll >= 0)
		close(worker->epoll);
	plan_unref(worker->plan);
	pthread_mutex_destroy(&worker->mail_lock);
	free(worker->buffer);
	free(worker);
}
