#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "flow.h"
#include "plan.h"
#include "rng.h"
#include "stream.h"

#define SCRATCH (256 * 1024)

struct loop;

enum phase {
	PHASE_CONNECTING, /* client only */
	PHASE_ANONYMOUS,  /* whose flow this is has yet to be told by the first bytes */
	PHASE_RUNNING,    /* following the flow's plan */
	PHASE_OVER,       /* to be closed and freed by the loop */
};

/* One end of one connection. */
struct endpoint {
	struct loop *loop;
	int fd;
	enum side side;
	enum phase phase;
	enum opener opener; /* client only */
	struct flow *flow;  /* NULL while anonymous */
	struct plan plan;
	struct stream in, out;
	struct rng rng;
	uint64_t born_ms;

	unsigned char id[ID_LEN];
	size_t id_have;

	unsigned int step;
	bool in_step;
	uint64_t step_left;
	uint64_t chunk_left;
	unsigned char *big; /* a write that is larger than the loop's scratch space */
	size_t big_len;
	uint64_t sent, received;
	uint64_t send_wake_ms, recv_wake_ms;
	bool readable, writable; /* as far as epoll has told */
	bool blocking;           /* no O_NONBLOCK */
	bool held, shut, eof, reset_seen;
};

const char *side_name(enum side side);
const char *stream_name(enum side from);

struct endpoint *endpoint_new(struct loop *loop, int fd, enum side side);
void endpoint_free(struct endpoint *e);

/* Follow the flow's plan from now on; received bytes of its stream were its id. */
void endpoint_begin(struct endpoint *e, struct flow *f, size_t received);

/* Go on as far as possible within a fair share; true when there is more to do at once. */
bool endpoint_pump(struct endpoint *e);

/* When a pause of its plan ends, or UINT64_MAX. */
uint64_t endpoint_wake(const struct endpoint *e);

/* Complain when nothing has moved for too long, or stop when the other end has complained. */
void endpoint_check(struct endpoint *e);

/* Report the flow (or, while anonymous, the connection) as bad and abort it. */
void endpoint_fail(struct endpoint *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void endpoint_abort(struct endpoint *e);

enum id_result {
	ID_NONE_YET,
	ID_COMPLETE,
	ID_EOF,
	ID_ERROR
};

/* Read the first bytes; on ID_ERROR errno says why. */
enum id_result endpoint_read_id(struct endpoint *e);

/* ---- what the files of the two halves share ---- */

static inline const struct script *endpoint_script(const struct endpoint *e)
{
	return &e->plan.script[e->side];
}

/* How many bytes the other end sends. */
static inline uint64_t endpoint_incoming(const struct endpoint *e)
{
	return e->plan.script[other(e->side)].total;
}

/* As recv(2). A blocking one is called when poll(2) has said that it need not wait. */
ssize_t endpoint_recv(struct endpoint *e, void *buf, size_t len);

/* One recv; true when another one may find something. */
bool endpoint_receive(struct endpoint *e);

/* Work at the present step of the script; true when there may be more to do. */
bool endpoint_advance(struct endpoint *e);

/* A call failed: either the reset that the plan has the other end send, or a failure. */
void endpoint_error(struct endpoint *e, const char *call, int error);

void endpoint_reset_arrived(struct endpoint *e);

/* Close in peace. */
void endpoint_finish(struct endpoint *e);
