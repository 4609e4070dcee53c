/*
 * A TCP proxy that is right but for one fault, which it commits on every Nth connection: what a
 * test of proxies must find. With the fault `none` it must be found to be right.
 */

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"

#define CHUNK      65536
#define SPOT       32 /* where in a chunk the bytes go wrong; a flow's first 16 may be its name */
#define LEAST      (2 * SPOT)
#define STACK_SIZE (256 * 1024)

enum fault {
	CORRUPT,
	CROSS,
	DOUBLE,
	DROP,
	EARLY_FIN,
	FIN_AS_RESET,
	LOSE_TAIL,
	LOSE_URGENT,
	NO_HALF_CLOSE,
	NONE,
	RESET_AS_FIN,
	STALL,
	SWALLOW_FIN,
	SWAP,
};

static const char *const fault_names[] = {
	[CORRUPT] = "corrupt",             /* flip a bit */
	[CROSS] = "cross",                 /* forward another connection's bytes */
	[DOUBLE] = "double",               /* forward some bytes twice */
	[DROP] = "drop",                   /* lose a byte */
	[EARLY_FIN] = "early-fin",         /* end a stream in its middle */
	[FIN_AS_RESET] = "fin-as-reset",   /* abort where a stream ended */
	[LOSE_TAIL] = "lose-tail",         /* lose what came together with the end of stream */
	[LOSE_URGENT] = "lose-urgent",     /* leave urgent bytes out */
	[NO_HALF_CLOSE] = "no-half-close", /* close both ways when one has ended */
	[NONE] = "none",                   /* make no mistake */
	[RESET_AS_FIN] = "reset-as-fin",   /* end the stream where it was aborted */
	[STALL] = "stall",                 /* stop forwarding */
	[SWALLOW_FIN] = "swallow-fin",     /* do not forward the end of stream */
	[SWAP] = "swap",                   /* exchange two runs of bytes */
};

#define FAULTS (sizeof(fault_names) / sizeof(fault_names[0]))

/* One way through a connection. */
struct way {
	int from, to;
	size_t begin, end; /* of what is to be written, in bytes */
	bool eof;          /* nothing more is read */
	bool ended;        /* `to` has been told */
	char bytes[2 * CHUNK];
};

struct link {
	enum fault fault;
	bool done; /* the fault has been committed */
	bool stalled;
	struct way ways[2]; /* ways[i] leads from fd i */
	int fd[2];
};

/* What the last connection that crosses left for the next one. */
static struct {
	pthread_mutex_t lock;
	size_t len;
	char bytes[CHUNK];
} loot = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct address upstream;

static bool cross(struct way *w)
{
	char own[CHUNK];
	size_t len = w->end, taken;

	memcpy(own, w->bytes, len);
	pthread_mutex_lock(&loot.lock);
	taken = loot.len < len ? loot.len : len;
	if (taken > SPOT)
		memcpy(w->bytes + SPOT, loot.bytes + SPOT, taken - SPOT);
	memcpy(loot.bytes, own, len);
	loot.len = len;
	pthread_mutex_unlock(&loot.lock);
	return taken > SPOT;
}

static void swap(struct way *w)
{
	char copy[CHUNK];
	size_t half = (w->end - SPOT) / 2, rest = w->end - SPOT - half;

	memcpy(copy, w->bytes + SPOT, half);
	memmove(w->bytes + SPOT, w->bytes + SPOT + half, rest);
	memcpy(w->bytes + SPOT + rest, copy, half);
}

static bool lose_tail(struct way *w)
{
	char byte;

	if (recv(w->from, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
		return false;
	w->end = 0;
	return true;
}

/* Spoil what was read; true when the fault has been committed. */
static bool spoil(struct link *l, struct way *w)
{
	switch (l->fault) {
	case CORRUPT:
		w->bytes[SPOT] ^= 0x10;
		return true;
	case CROSS:
		return cross(w);
	case DOUBLE:
		memcpy(w->bytes + w->end, w->bytes + SPOT, w->end - SPOT);
		w->end += w->end - SPOT;
		return true;
	case DROP:
		memmove(w->bytes + SPOT, w->bytes + SPOT + 1, --w->end - SPOT);
		return true;
	case EARLY_FIN:
		w->eof = true;
		return true;
	case LOSE_TAIL:
		return lose_tail(w);
	case STALL:
		l->stalled = true;
		return true;
	case SWAP:
		swap(w);
		return true;
	default:
		return false;
	}
}

static void abort_link(struct link *l, bool as_reset)
{
	struct linger linger = {.l_onoff = as_reset, .l_linger = 0};

	for (int i = 0; i < 2; i++) {
		setsockopt(l->fd[i], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(l->fd[i]);
	}
}

/* A stream's end has come and all before it was written; false when that ends it all. */
static bool forward_end(struct link *l, struct way *w)
{
	w->ended = true;
	if (l->fault == FIN_AS_RESET || l->fault == NO_HALF_CLOSE) {
		abort_link(l, l->fault == FIN_AS_RESET);
		return false;
	}
	if (l->fault != SWALLOW_FIN)
		shutdown(w->to, SHUT_WR);
	return true;
}

/* Read when there is room, write what was read; false when the link is over. */
static bool serve_way(struct link *l, struct way *w)
{
	ssize_t n;

	if (w->begin == w->end && !w->eof) {
		n = recv(w->from, w->bytes, CHUNK, MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN)
			return abort_link(l, l->fault != RESET_AS_FIN), false;
		w->eof = n == 0;
		w->begin = 0;
		w->end = n > 0 ? (size_t)n : 0;
		if (w->end >= LEAST && !l->done)
			l->done = spoil(l, w);
	}
	if (w->begin < w->end) {
		n = send(w->to, w->bytes + w->begin, w->end - w->begin,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN)
			return abort_link(l, l->fault != RESET_AS_FIN), false;
		w->begin += n > 0 ? (size_t)n : 0;
	}
	return w->begin < w->end || !w->eof || w->ended || forward_end(l, w);
}

static void wait_ready(struct link *l)
{
	struct pollfd p[2];

	for (int i = 0; i < 2; i++) {
		const struct way *out = &l->ways[i], *in = &l->ways[!i];

		p[i] = (struct pollfd){.fd = l->fd[i]};
		if (out->begin == out->end && !out->eof && !l->stalled)
			p[i].events |= POLLIN;
		if (in->begin < in->end && !l->stalled)
			p[i].events |= POLLOUT;
		/* Over in both ways: it would report POLLHUP for ever. */
		if (out->eof && in->ended)
			p[i].fd = -1;
	}
	poll(p, 2, -1);
	/* An aborted stream ends at once, however much of it is still here. */
	for (int i = 0; i < 2; i++) {
		if (p[i].revents & POLLERR) {
			l->stalled = false;
			l->ways[i].begin = l->ways[i].end = 0;
		}
	}
}

static void *link_main(void *arg)
{
	struct link *l = arg;
	bool alive = true;

	while (alive && !(l->ways[0].ended && l->ways[1].ended)) {
		wait_ready(l);
		for (int i = 0; i < 2 && alive && !l->stalled; i++)
			alive = serve_way(l, &l->ways[i]);
	}
	if (alive) {
		close(l->fd[0]);
		close(l->fd[1]);
	}
	free(l);
	return NULL;
}

static int connect_upstream(void)
{
	int fd = socket(upstream.sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&upstream.sa, upstream.len)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void start_link(int client, enum fault fault)
{
	struct link *l = calloc(1, sizeof(*l));
	pthread_attr_t attr;
	pthread_t thread;
	int server = connect_upstream(), one = 1, in_line = fault != LOSE_URGENT;

	if (!l || server < 0)
		err(EXIT_FAILURE, "upstream");
	l->fault = fault;
	l->fd[0] = client;
	l->fd[1] = server;
	for (int i = 0; i < 2; i++) {
		l->ways[i].from = l->fd[i];
		l->ways[i].to = l->fd[!i];
		setsockopt(l->fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		setsockopt(l->fd[i], SOL_SOCKET, SO_OOBINLINE, &in_line, sizeof(in_line));
	}
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, link_main, l))
		err(EXIT_FAILURE, "thread");
	pthread_attr_destroy(&attr);
}

static int listen_on(const struct address *a)
{
	int fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one)); /* before the first byte */
	if (bind(fd, (const struct sockaddr *)&a->sa, a->len) || listen(fd, 4096))
		err(EXIT_FAILURE, "listen");
	return fd;
}

static enum fault fault_by_name(const char *name)
{
	for (unsigned int i = 0; i < FAULTS; i++) {
		if (!strcmp(fault_names[i], name))
			return (enum fault)i;
	}
	errx(EXIT_FAILURE, "%s: no such fault", name);
}

int main(int argc, char **argv)
{
	struct address address;
	enum fault fault;
	unsigned long every, count = 0;
	int listener;

	if (argc != 5 || address_parse(argv[1], &address) || address_parse(argv[2], &upstream)) {
		fprintf(stderr, "bad_proxy LISTEN UPSTREAM FAULT EVERY\nFaults:");
		for (unsigned int i = 0; i < FAULTS; i++)
			fprintf(stderr, " %s", fault_names[i]);
		fputc('\n', stderr);
		return EXIT_FAILURE;
	}
	fault = fault_by_name(argv[3]);
	every = strtoul(argv[4], NULL, 10);
	if (!every)
		errx(EXIT_FAILURE, "%s: want a number of 1 or more", argv[4]);
	listener = listen_on(&address);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			start_link(fd, ++count % every ? NONE : fault);
		else if (errno != EINTR && errno != ECONNABORTED)
			err(EXIT_FAILURE, "accept");
	}
}
