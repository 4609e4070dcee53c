/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_FLOW_H
#define PROXYD_FLOW_H

/*
 * A flow: one proxied connection, a downstream and an upstream socket and the two directions
 * between them. A direction's index is its source's side, so direction d reads fds[d] and writes
 * fds[!d].
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config/address.h"
#include "flow/deadline.h"
#include "flow/gather.h"
#include "flow/traffic.h"
#include "sidelane/shared.h"
#include "stats.h"

TAILQ_HEAD(flow_list, flow);

struct endpoint;
struct interception;
struct limit;
struct mirror;
struct offer;
struct pipe;
struct record;
struct setup;
struct share;
struct splice_pair;
struct worker;

enum side {
	DOWNSTREAM = 0,
	UPSTREAM = 1,
};

/*
 *   accepted
 *       |
 *       v     the listener takes PROXY headers, and this peer must send one
 *   HEADER -----------------------------------> CLOSED, when it has not
 *       |
 *       v     a limit is met; no endpoint is free, or known yet
 *   QUEUED  <---------------------------------------+     (and back when there is room)
 *       |                                           |
 *       v     a route asks for the first bytes      |
 *   INSPECTING -------------------------------> CONNECTING
 *       |                                           | connected, and told who the client is
 *       |     rejected by a limit or a route;       v     both directions SHUT; a timeout; drain
 *       |     no endpoint left; client gone       OPEN -----------------------------------------+
 *       |                                           | reset by one side                         |
 *       |                                           v     what it had sent is delivered, or     |
 *       |                                       RESETTING --- too late -------------------------+
 *       v                                                                                       v
 *     CLOSED <----------------------------------------------------------------------------------+
 */
enum flow_state {
	FLOW_HEADER,     /* the header is awaited that says who the client is */
	FLOW_QUEUED,     /* on worker->waiting: tried again when something may have changed */
	FLOW_INSPECTING, /* the client's first bytes are awaited */
	FLOW_CONNECTING, /* only the upstream is awaited: its connect, room for its header */
	FLOW_OPEN,       /* each direction goes its own way, see below */
	FLOW_RESETTING,  /* the survivor gets the last bytes, then a RST */
	FLOW_CLOSED,     /* on worker->closed until the end of the turn, then freed */
};

/*
 *   OPEN --(source sent FIN or was reset)--> ENDING --(all delivered to the destination)--> SHUT
 */
enum direction_state {
	DIRECTION_OPEN,   /* bytes cross in the direction's lane */
	DIRECTION_ENDING, /* no new bytes; the last ones are on their way */
	DIRECTION_SHUT,   /* the destination has been sent a FIN behind the last byte */
};

/* Bytes read from the source that the destination has not taken yet. */
struct held {
	uint32_t start;
	uint32_t end;
	unsigned char bytes[];
};

struct direction {
	uint64_t read; /* bytes that proxyd took from the source */
	uint64_t sent; /* bytes that proxyd gave to the destination */
	struct gather gather;
	uint8_t state;      /* enum direction_state */
	uint8_t lane;       /* enum sl_lane that proxyd has published */
	uint8_t full_reads; /* reads in a row that filled the buffer: bulk */
	bool drained;       /* nothing that was redirected is on its way: proxyd may send */
	bool source_held;   /* its receive window was shut: passed bytes pile up */
	bool relay_only;    /* proxyd has to have its bytes in its hands */
	bool read_on;       /* short reads prove nothing: an end or an urgent byte was announced */
	struct held *held;  /* copied */
	struct pipe *pipe;  /* spliced with splice(2) */
};

struct flow {
	struct deadline deadline;  /* of the state; in FLOW_OPEN the idle timeout */
	struct deadline lifetime;  /* in FLOW_OPEN and FLOW_RESETTING */
	TAILQ_ENTRY(flow) by_turn; /* on `listed` */
	struct flow_list *listed; /* the worker's `waiting`, `polled`, `closed`, or NULL: on none */
	struct worker *worker;
	struct setup *setup;               /* NULL from FLOW_OPEN on */
	struct limit *limit;               /* where the flow is counted; NULL: not yet */
	struct interception *interception; /* that it came by, kept while it lives; may be NULL */
	struct endpoint *endpoint; /* where the flow is counted; NULL: not yet, or original */
	struct share *share;       /* of the listener's bandwidth; NULL: that has no limit */
	struct mirror *mirror;     /* gets a copy of what goes up; NULL: none */
	struct splice_pair *pair;  /* NULL while neither socket is enrolled */
	struct offer *offer;       /* to the direct lane; NULL: none */
	struct record *record;     /* for the access log; NULL: none */
	uint64_t id;               /* of no other flow while proxyd runs */
	uint64_t born_ms;          /* worker clock: when it was accepted */
	uint64_t idle_timeout;     /* ms; 0: none */
	uint64_t poll_at;          /* us, worker clock */
	/* ms: a RST by the endpoint before this counts against it; 0: not connected, or counted */
	uint64_t healthy_at;
	struct address source; /* the client */
	int fds[2];
	uint32_t interest[2];  /* epoll events asked for */
	uint32_t place;        /* on the worker's roll */
	uint32_t header_added; /* bytes of PROXY headers: sent less taken, modulo 2^32 */
	uint8_t state;         /* enum flow_state */
	uint8_t polls;         /* polls in a row that found nothing new: back off */
	uint8_t reset_side;    /* FLOW_RESETTING: who sent the RST */
	uint8_t ended_by;      /* 1 + enum side: who sent the first FIN; 0: nobody yet */
	uint8_t fault;         /* 1 + enum error_kind: what went wrong last; 0: nothing */
	uint8_t offering;      /* enum offer_state: to the direct lane */
	bool paired;           /* both sockets are enrolled and each other's peer */
	bool wants_kernel;     /* to enter the kernel lane when nothing is held or unread */
	struct traffic traffic;
	struct direction directions[2];
};

/* Close both sockets: with a FIN each, or, to abort, with a RST. */
void flow_close(struct flow *flow, bool abort);

/* Something happened on one of the flow's sockets: EPOLL* bits. */
void flow_ready(struct flow *flow, enum side side, uint32_t events);

/* The verdict program says that bytes wait for proxyd or that the lane does not pay. */
void flow_event(struct flow *flow, const struct sl_event *event);

/* The poll that flow_poll_soon() asked for is due. */
void flow_poll(struct flow *flow);

/* The deadline has passed; the lifetime is over. */
void flow_expired(struct flow *flow);
void flow_outlived(struct flow *flow);

/* Abort: both sides see a RST. */
void flow_abort(struct flow *flow);

/* Count what went wrong with it. `detail`: what else there is to say, for ever; NULL: nothing. */
void flow_fault(struct flow *flow, enum error_kind kind, const char *detail);

/* Abort: the client has left before it was served. */
void flow_gone(struct flow *flow);

/* Abort because the verdict program had to drop bytes. */
void flow_break(struct flow *flow);

void flow_free(struct flow *flow);

/* --- For those who move the flow along: setup.c, connect.c, pump.c, relay.c --- */

/* The upstream is connected. */
void flow_opened(struct flow *flow);

/*
 * One side has sent a RST. What it sent before goes on to the survivor, then a RST; what was
 * meant for it is dropped.
 */
void flow_reset(struct flow *flow, int side);

/* All that the reset side had sent was given to the survivor: reset it when it has them. */
void flow_finish_reset(struct flow *flow);

/* The direction's last byte was given to the destination: pass its end on. */
void flow_finish(struct flow *flow, int direction);

/* Close a socket, with a RST if `abort`, and forget what sock_ops keeps for it. */
void flow_close_socket(struct flow *flow, enum side side, bool abort);

/* Watch each socket for what its directions' lanes and held bytes call for. */
void flow_update_interest(struct flow *flow);

/* Whether the flow's bytes cross in the kernel from the first one on. */
bool flow_for_kernel_lane(const struct flow *flow);

/* Whether neither direction may leave the relay. */
bool flow_relay_only(const struct flow *flow);

/* Whether the sockets may be in the SOCKHASH, so that splice(2) does not see their bytes. */
bool flow_enrolled(const struct flow *flow);

/* Whether the verdict program had to drop bytes of the direction, paired or not. */
bool flow_is_broken(const struct flow *flow, int direction);

#endif
