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
#include <stdatomic.h>

#include "config/settings.h"
#include "flow/flow.h"
#include "flow/splicer.h"
#include "flow/pipe_pool.h"
#include "intake/room.h"
#include "stats.h"

#define WORKER_BUFFER (64 * 1024)

/* What all workers share; read-only once they run. */
struct proxy_shared {
	const struct settings *settings;
	struct room *room;
	struct kernel_lane *kernel_lane; /* NULL: relay only */
	bool sock_ops;                   /* sockets are enrolled at ESTABLISHED */
	void (*ended)(void *user);       /* a worker's thread returns; may be NULL */
	void *ended_user;
};

struct worker {
	const struct proxy_shared *proxy;
	struct event_base *base;
	struct event *mailbox; /* activated by worker_drain() and worker_stop() */
	struct event *sockets; /* the epoll set is readable */
	struct event *splices; /* the splicer has events */
	struct event *room;    /* there are descriptors for flows again */
	struct event *sweep;   /* deadlines */
	struct event *poll;    /* the timerfd of the polled flows */
	struct evconnlistener *listeners[SETTINGS_ADDRESSES_MAX];
	struct splicer *splicer;     /* NULL: relay only */
	struct flow **spliced;       /* by pair index */
	struct flow_list connecting; /* FLOW_CONNECTING, by deadline */
	struct flow_list idle;       /* FLOW_OPEN, by deadline */
	struct flow_list resetting;  /* FLOW_RESETTING, by deadline */
	struct flow_list polled;     /* the flows that wait for something that sends no event */
	struct flow_list closed;     /* FLOW_CLOSED: events of this turn may still name them */
	struct pipe_pool pipes;
	struct stats stats;
	unsigned char *buffer; /* WORKER_BUFFER bytes, of use within one call only */
	uint64_t random;       /* state of the lane switching knob */
	int epoll;
	int timer;         /* timerfd, microseconds: epoll's timeout has milliseconds */
	uint64_t sweep_at; /* ms: the deadline that the sweep waits for; 0: none */
	uint64_t timer_at; /* us; 0: not armed */
	uint32_t index;
	uint32_t next_endpoint;
	uint32_t log_lines; /* about failed connects, in this second */
	uint64_t log_second;
	atomic_int request; /* enum worker_request */
	atomic_bool ended;
	bool yields; /* a stream of small reads was served in this turn */
	bool draining;
	bool started;
	pthread_t thread;
};

/*
 * Make a worker that listens on the given sockets, one for each --listen; takes them over whatever
 * it returns. Returns 0 or -errno.
 */
int worker_new(const struct proxy_shared *proxy, uint32_t index, const int *listening,
	       struct worker **out);

/* Start the thread. Returns 0 or -errno. */
int worker_start(struct worker *worker);

/* From any thread: accept no more, return when the last flow has ended. */
void worker_drain(struct worker *worker);

/* From any thread: abort what is left and return. */
void worker_stop(struct worker *worker);

/* Wait for the thread to return. */
void worker_join(struct worker *worker);

void worker_free(struct worker *worker);

/* For the flows: */

/* The monotonic clock. */
uint64_t worker_now_ms(void);
uint64_t worker_now_us(void);

/* Ask for flow_ready() on `events` of a socket, edge-triggered. Returns 0 or -errno. */
int worker_watch(struct worker *worker, struct flow *flow, enum side side, uint32_t events);

/* (Re)start the flow's deadline: on `list`, `timeout` ms from `since`; 0 ms is never. */
void worker_set_deadline(struct flow *flow, struct flow_list *list, uint64_t since,
			 uint64_t timeout);

/* Have flow_poll() called in a short while: microseconds at first, a few ms when it repeats. */
void worker_poll_soon(struct flow *flow);
void worker_poll_cancel(struct flow *flow);

/* Serve the flows whose deadline has passed; those whose poll is due. */
void worker_sweep(struct worker *worker);
void worker_serve_polls(struct worker *worker);

/* The next number of the lane switching knob. */
uint64_t worker_random(struct worker *worker);

/* The flow is FLOW_CLOSED: free it at the end of the turn. */
void worker_bury(struct flow *flow);

#endif
