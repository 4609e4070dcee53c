/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H
/*
 * The two ends of the measured traffic. A client thread and a server thread for each flow, which
 * block or, like event loops, poll; nothing else, so that what differs between two runs is what
 * lies between them.
 */

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/un.h>

#include "histogram.h"

#define MAX_WORKERS 64

enum phase {
	PHASE_WARM_UP,
	PHASE_MEASURE,
	PHASE_STOP,
};

/* One client thread's count and, for streams, the count of the server thread at the far end. */
struct worker {
	_Alignas(128) _Atomic uint64_t operations; /* round trips, or connections */
	_Alignas(128) _Atomic uint64_t received;   /* bytes, counted where they arrive */
	_Alignas(128) struct histogram latency;
};

/* Shared between the processes of one measurement. */
struct arena {
	_Atomic int phase;
	_Atomic int flows_open; /* idle traffic: how many flows have exchanged their message */
	_Atomic bool failed;
	char error[256];
	struct worker workers[MAX_WORKERS];
};

struct traffic;

/* An address, of TCP or of a unix socket. */
struct place {
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_un local;
	};
	socklen_t length;
};

struct peers {
	const struct traffic *traffic;
	struct arena *arena;
	struct place target; /* where the client connects: a proxy, or the server itself */
	int listener;
	unsigned int flows;
	size_t size;         /* bytes a write or a message */
	unsigned int writes; /* that a ping-pong's message is sent in */
	bool polling;        /* non-blocking sockets and poll(2), as event loops have them */
};

/* A kind of traffic: what a client thread does until PHASE_STOP and a server thread per flow. */
struct traffic {
	const char *name;
	void (*client)(const struct peers *peers, struct worker *worker);
	void (*serve)(const struct peers *peers, struct worker *worker, int fd);
	bool latency;         /* fills the histogram */
	bool single_threaded; /* `flows` counts connections of one thread, not threads */
};

const struct traffic *traffic_find(const char *name);

/* How many flows of PHASE_WARM_UP an idle client opens before the ones that are counted. */
#define IDLE_WARM_UP_FLOWS 16

/* Both run in a process of their own. The client returns when done; the server never does. */
void peers_client(const struct peers *peers);
_Noreturn void peers_server(const struct peers *peers);

#endif
