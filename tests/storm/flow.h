#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "options.h"
#include "stream.h"

/* How far a flow's identification has come. */
enum claim {
	CLAIM_IDLE,    /* not started */
	CLAIM_WAITING, /* started; the server does not know it yet */
	CLAIM_SERVER,  /* a server's connection is this flow's */
	CLAIM_BOTH,    /* silent flows: a client has adopted it too */
};

/*
 * What both ends of a flow and the report share. Each end writes only its own element of the
 * arrays.
 */
struct flow {
	uint32_t index;
	_Atomic uint8_t claim;
	atomic_bool failed;
	atomic_bool done[2];
	atomic_bool fin_sent[2], reset_sent[2];
	_Atomic uint64_t sent[2], received[2];
	_Atomic uint64_t started_ms, progress_ms;
};

/* First in, first out: the indexes of silent flows that await a server. */
struct pool {
	pthread_mutex_t lock;
	uint32_t *indexes;
	uint32_t head, tail;
};

struct counters {
	atomic_ulong stray; /* failures of connections that belong to no known flow */
	atomic_ulong hung, reset, refused;
	atomic_ulong resets_seen, resets_as_eof;
	atomic_ulong anonymous_eofs, anonymous_errors;
};

struct storm {
	const struct options *options;
	struct flow *flows;
	struct pool silent;      /* OPENS_SERVER */
	struct pool half_closed; /* OPENS_EOF */
	struct counters count;
	atomic_uint unclaimed; /* connecting flows that the server will know by their first bytes */
	atomic_uint silent_left;      /* silent flows that no client has adopted yet */
	atomic_ullong next;           /* position in the order of starting */
	atomic_uint starters;         /* client loops that still have flows to start */
	atomic_uint clients, servers; /* open ends */
	atomic_uint shown;            /* failures printed */
	atomic_bool over;
};

int storm_new(struct storm *s, const struct options *o);
void storm_free(struct storm *s);

struct flow *storm_flow(struct storm *s, uint32_t index);

uint64_t now_ms(void);
void flow_progress(struct flow *f, uint64_t now);

void pool_put(struct pool *p, uint32_t index);
bool pool_take(struct pool *p, uint32_t *index);
bool pool_empty(struct pool *p);

/* Move a flow from one claim to the next; false when it was not there. */
bool flow_claim(struct flow *f, enum claim from, enum claim to);

/* Print why a flow is bad; only the first reason of a flow counts and is printed. */
void flow_fail(struct storm *s, struct flow *f, const char *who, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The same for a connection that belongs to no known flow. */
void stray_fail(struct storm *s, const char *who, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

bool storm_gives_up(struct storm *s);
