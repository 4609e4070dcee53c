/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_WORKER_H
#define PROXYD_WORKER_H

/*
 * A worker: one thread, one event base, its own listening sockets (SO_REUSEPORT), its own flows.
 *
 * The flows' sockets are in an epoll set of the worker's own, itself watched by the event base.
 * With libevent 2.1 a socket that waits for EV_CLOSED alone (a flow whose payload the kernel moves)
 * would spin on EPOLLERR, which is reported as EV_READ|EV_WRITE and so to nobody; and a
 * struct event for each socket would double a flow's memory.
 */

#include <event2/event.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "config/settings.h"
#include "flow/deadline.h"
#include "flow/flow.h"
#include "flow/look.h"
#include "flow/roll.h"
#include "flow/splicer.h"
#include "flow/pipe_pool.h"
#include "intake/acceptor.h"
#include "stats.h"

#define WORKER_BUFFER (64 * 1024)

/* What the main thread has for a worker. */
struct mail;
STAILQ_HEAD(mail_list, mail);

/* What all workers share; read-only once they run, but for the semaphore. */
struct proxy_shared {
	const struct settings *settings;
	struct room *room;
	struct kernel_lane *kernel_lane; /* NULL: relay only */
	struct offers *offers;           /* to the direct lane; NULL: there is none */
	struct access_log *access_log;   /* may be off */
	struct worker *workers[SL_WORKERS_MAX];
	unsigned int worker_count;
	sem_t *obeyed;             /* posted when worker_has_obeyed() may have become true */
	void (*ended)(void *user); /* a worker's thread returns; may be NULL */
	void *ended_user;
};

struct worker {
	const struct proxy_shared *proxy;
	struct event_base *base;
	struct event *mailbox; /* activated when there is mail, or a place for one who waits */
	struct event *sockets; /* the epoll set is readable */
	struct event *splices; /* the splicer has events */
	struct event *sweep;   /* deadlines */
	struct event *poll;    /* the timerfd of the polled flows */
	struct event *wait;    /* the next round of retries */
	struct acceptor *acceptor;
	struct plan *plan;          /* the latest; flows that are set up may have an older one */
	struct splicer *splicer;    /* NULL: relay only */
	struct flow **spliced;      /* by pair index */
	struct deadlines deadlines; /* each flow's that lives */
	struct deadlines lifetimes;
	struct roll flows;        /* that live */
	struct flow_list waiting; /* FLOW_QUEUED */
	struct flow_list polled;  /* the flows that wait for something that sends no event */
	struct flow_list closed;  /* FLOW_CLOSED: events of this turn may still name them */
	struct pipe_pool pipes;
	struct mirrors *mirrors;
	struct stats stats;
	unsigned char *buffer; /* WORKER_BUFFER bytes, of use within one call only */
	uint32_t crowd;        /* traffic_turn() */
	uint64_t random;       /* state of the lane switching knob */
	int epoll;
	int timer;         /* timerfd, microseconds: epoll's timeout has milliseconds */
	uint64_t sweep_at; /* ms: the deadline that the sweep waits for; 0: none */
	uint64_t timer_at; /* us; 0: not armed */
	uint32_t index;
	uint32_t log_lines; /* about clients that could not be served, in this second */
	uint64_t log_second;
	pthread_mutex_t mail_lock;
	struct mail_list mail;
	atomic_uint ordered, obeyed; /* mails, other than looks, ever */
	atomic_bool has_waiting;
	atomic_int request; /* enum worker_request */
	atomic_bool ended;
	bool draining;
	bool started;
	pthread_t thread;
};

/* Make a worker that goes by the plan; worker_prepare() has it listen. Returns 0 or -errno. */
int worker_new(const struct proxy_shared *proxy, uint32_t index, struct plan *plan,
	       struct worker **out);

/* Start the thread. Returns 0 or -errno. */
int worker_start(struct worker *worker);

/* From any thread: accept no more, return when the last flow has ended. */
void worker_drain(struct worker *worker);

/* From any thread: abort what is left and return. */
void worker_stop(struct worker *worker);

/*
 * From any thread: all that can fail of taking new connections by this plan, of which a reference
 * is taken; `listening` as for acceptor_prepare(). Returns 0 or -errno.
 */
int worker_prepare(struct worker *worker, struct plan *plan, const int *listening,
		   struct mail **out);

/* From any thread: do so, or not after all (NULL is ignored). Both take the mail over. */
void worker_send(struct worker *worker, struct mail *mail);
void worker_abandon(struct mail *mail);

/* From any thread: close the plan's listener of that index. Returns 0 or -ENOMEM. */
int worker_drain_listener(struct worker *worker, unsigned int listener);

/* From any thread: whether all that was asked by these two is done, or the thread has returned. */
static inline bool worker_has_obeyed(const struct worker *worker)
{
	return atomic_load(&worker->obeyed) == atomic_load(&worker->ordered) ||
	       atomic_load(&worker->ended);
}

/* From any thread: have look_fill() called, then `look->done` posted. Returns 0 or -ENOMEM. */
int worker_look(struct worker *worker, struct look *look);

/* Wait for the thread to return. */
void worker_join(struct worker *worker);

void worker_free(struct worker *worker);

/* For the flows: */

/* The monotonic clock. */
uint64_t worker_now_ms(void);
uint64_t worker_now_us(void);

/* Ask for flow_ready() on `events` of a socket, edge-triggered. Returns 0 or -errno. */
int worker_watch(struct worker *worker, struct flow *flow, enum side side, uint32_t events);

/* (Re)start the flow's deadline: `timeout` ms from `since`; 0 ms is never. */
void worker_set_deadline(struct flow *flow, uint64_t since, uint64_t timeout);
void worker_set_lifetime(struct flow *flow, uint64_t since, uint64_t timeout);

/* Have setup_retry() called now and then, and when a place becomes free. */
void worker_wait(struct flow *flow);

/* A flow has left a place for which others may wait, in whichever worker, if `wanted`. */
void worker_place_free(struct worker *worker, bool wanted);

/* Have flow_poll() called in a short while: microseconds at first, a few ms when it repeats. */
void worker_poll_soon(struct flow *flow);

/* Have flow_poll() called at that time, or before. */
void worker_poll_at(struct flow *flow, uint64_t at_us);

/* Serve the flows whose deadline has passed; whose poll is due; who wait for a place. */
void worker_sweep(struct worker *worker);
void worker_serve_polls(struct worker *worker);
void worker_serve_waiting(struct worker *worker);

/* Whether to log one more client that could not be served: a few lines a second tell as much. */
bool worker_may_log(struct worker *worker);

/* The next number of the lane switching knob. */
uint64_t worker_random(struct worker *worker);

/* Put the flow on one of the worker's lists, and off the one that it is on; NULL: on none. */
void worker_list(struct flow *flow, struct flow_list *list);

/* The flow is FLOW_CLOSED: free it at the end of the turn. */
void worker_bury(struct flow *flow);

#endif
