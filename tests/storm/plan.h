#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "stream.h"

enum op {
	OP_SEND,      /* n bytes, in writes of chunk_lo..chunk_hi */
	OP_AWAIT,     /* until n bytes in all have been received */
	OP_AWAIT_EOF, /* until the other end's half-close has arrived */
	OP_PAUSE,     /* n milliseconds */
	OP_HOLD,      /* stop reading */
	OP_RELEASE,   /* go on reading */
	OP_SHUT,      /* half-close */
	OP_CLOSE,     /* close at once, waiting for nothing */
	OP_RESET,     /* abort: the other end must see ECONNRESET */
};

struct step {
	enum op op;
	uint64_t n;
	uint32_t chunk_lo, chunk_hi;
};

/* What makes the server know which flow a new connection is. */
enum opener {
	OPENS_CLIENT,  /* the client's first bytes are the id */
	OPENS_SERVER,  /* the client keeps silent; the server picks a flow and sends its id */
	OPENS_EOF,     /* the same after the client's half-close, its first sign of life */
	OPENS_NOTHING, /* nobody says anything */
};

/*
 * One end's part: a list of steps for its writing half. Its reading half needs none: it reads
 * whenever it is not held, in the manner that the other fields say.
 */
struct script {
	struct step *steps;
	unsigned int count, capacity;
	uint64_t total; /* bytes sent when the script is over */

	uint32_t recv_lo, recv_hi; /* bytes asked for by one recv */
	uint32_t recv_pause;       /* most milliseconds between two recv */
	int rcvbuf;                /* SO_RCVBUF, or 0 */
	bool nodelay;
	bool pieces; /* writev of odd pieces instead of send */
	unsigned int
		urgent; /* percent of the writes whose last byte is urgent (send(2), MSG_OOB) */
};

struct plan {
	unsigned int kind;
	enum opener opener;
	bool resets; /* resetter ends it by OP_RESET */
	enum side resetter;
	struct script script[2];
};

struct plan_rules {
	uint64_t seed;
	double scale;
	int only;        /* a kind, or -1 for all */
	uint64_t except; /* a bit for each kind that is left out */
};

unsigned int plan_kinds(void);

/* Whether any flow may send urgent bytes, for which sockets need SO_OOBINLINE. */
bool plan_has_urgent(const struct plan_rules *rules);

const char *plan_kind_name(unsigned int kind);
int plan_kind_by_name(const char *name);

/* What must be known before a connection is made. */
unsigned int plan_kind_of(const struct plan_rules *rules, uint32_t index);
enum opener plan_opener(unsigned int kind);

/* The client may be gone before the proxy has reached the server, which then never hears of it. */
bool plan_vanishes(unsigned int kind);

void plan_build(struct plan *p, const struct plan_rules *rules, uint32_t index);
void plan_print(const struct plan *p);
void plan_free(struct plan *p);
