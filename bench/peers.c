// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "peers.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_SIZE     65536
#define CALL_TIMEOUT  2 /* seconds a blocking call may wait */
#define STALL_TIMEOUT 5 /* seconds without a byte until a flow counts as hung */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static enum phase phase_of(const struct peers *peers)
{
	return (enum phase)atomic_load_explicit(&peers->arena->phase, memory_order_relaxed);
}

/* Only this thread writes the counter: no locked instruction is needed. */
static void count(_Atomic uint64_t *counter, uint64_t n)
{
	uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);

	atomic_store_explicit(counter, old + n, memory_order_relaxed);
}

/* The first failure of a measurement is its result; what follows from it is not told. */
static _Noreturn __attribute__((format(printf, 2, 3))) void fail(const struct peers *peers,
								 const char *format, ...)
{
	va_list args;

	if (!atomic_exchange(&peers->arena->failed, true)) {
		va_start(args, format);
		vsnprintf(peers->arena->error, sizeof(peers->arena->error), format, args);
		va_end(args);
	}
	_exit(1);
}

/*
 * EAGAIN is not always a timeout: a receive on a socket in a sockmap may return it at once. So the
 * clock decides, and it is first read after the first EAGAIN to keep it out of the usual path.
 * Non-blocking peers wait here for the event.
 */
static void check_stall(const struct peers *peers, int fd, short event, uint64_t *since)
{
	const char *what = event == POLLIN ? "recv" : "send";
	struct pollfd wait = {.fd = fd, .events = event};

	if (errno != EAGAIN && errno != EINTR)
		fail(peers, "%s: %s", what, strerror(errno));
	if (peers->polling && poll(&wait, 1, CALL_TIMEOUT * 1000) > 0)
		return;
	if (!*since)
		*since = now_ns();
	if (now_ns() - *since > STALL_TIMEOUT * 1000000000ULL)
		fail(peers, "%s: no byte for %d s, the flow hangs", what, STALL_TIMEOUT);
}

static void send_all(const struct peers *peers, int fd, const char *data, size_t size)
{
	uint64_t since = 0;

	while (size) {
		ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

		if (n < 0) {
			check_stall(peers, fd, POLLOUT, &since);
			continue;
		}
		data += n;
		size -= (size_t)n;
	}
}

/*
 * Fills the buffer but for an end of stream; returns how much came. An event loop reads what it was
 * told of: it does not try before.
 */
static size_t receive_all(const struct peers *peers, int fd, char *data, size_t size)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	uint64_t since = 0;
	size_t got = 0;

	if (peers->polling)
		poll(&wait, 1, CALL_TIMEOUT * 1000);
	while (got < size) {
		ssize_t n = recv(fd, data + got, size - got, 0);

		if (n < 0)
			check_stall(peers, fd, POLLIN, &since);
		else if (n == 0)
			break;
		else
			got += (size_t)n;
	}
	return got;
}

static void receive_message(const struct peers *peers, int fd, char *data, size_t size)
{
	size_t got = receive_all(peers, fd, data, size);

	if (got != size)
		fail(peers, "recv: the stream ended after %zu of %zu bytes", got, size);
}

static void set_options(const struct peers *peers, int fd)
{
	struct timeval timeout = {.tv_sec = CALL_TIMEOUT};
	bool tcp = peers->target.any.sa_family == AF_INET;
	int on = 1;

	if ((tcp && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)))
		fail(peers, "setsockopt: %s", strerror(errno));
}

static int connect_to_target(const struct peers *peers)
{
	int fd = socket(peers->target.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail(peers, "socket: %s", strerror(errno));
	set_options(peers, fd);
	if (connect(fd, &peers->target.any, peers->target.length))
		fail(peers, "connect: %s", strerror(errno));
	if (peers->polling && fcntl(fd, F_SETFL, O_NONBLOCK))
		fail(peers, "fcntl: %s", strerror(errno));
	return fd;
}

static void record(const struct peers *peers, struct worker *worker, uint64_t since)
{
	count(&worker->operations, 1);
	if (phase_of(peers) == PHASE_MEASURE)
		histogram_record(&worker->latency, now_ns() - since);
}

/* ping-pong: a message there and the same back, one after the other */

/* A program that writes a header, then a field, then another. */
static void send_in_pieces(const struct peers *peers, int fd, const char *message)
{
	size_t piece = (peers->size + peers->writes - 1) / peers->writes;

	for (size_t at = 0; at < peers->size; at += piece)
		send_all(peers, fd, message + at,
			 peers->size - at < piece ? peers->size - at : piece);
}

static void pingpong_client(const struct peers *peers, struct worker *worker)
{
	char *message = calloc(1, peers->size);
	int fd = connect_to_target(peers);

	while (phase_of(peers) != PHASE_STOP) {
		uint64_t since = now_ns();

		send_in_pieces(peers, fd, message);
		receive_message(peers, fd, message, peers->size);
		record(peers, worker, since);
	}
	close(fd);
	free(message);
}

static void pingpong_serve(const struct peers *peers, struct worker *worker, int fd)
{
	char *message = calloc(1, peers->size);

	(void)worker;
	while (receive_all(peers, fd, message, peers->size) == peers->size)
		send_in_pieces(peers, fd, message);
	close(fd);
	free(message);
}

/* stream: writes of one size, one way; at its end the server says how many bytes came */

static void stream_client(const struct peers *peers, struct worker *worker)
{
	char *block = calloc(1, peers->size);
	int fd = connect_to_target(peers);
	uint64_t sent = 0, arrived = 0;

	(void)worker;
	while (phase_of(peers) != PHASE_STOP) {
		send_all(peers, fd, block, peers->size);
		sent += peers->size;
	}
	shutdown(fd, SHUT_WR);
	receive_message(peers, fd, (char *)&arrived, sizeof(arrived));
	if (arrived != sent)
		fail(peers, "stream: sent %" PRIu64 " bytes, %" PRIu64 " arrived", sent, arrived);
	close(fd);
	free(block);
}

static void stream_serve(const struct peers *peers, struct worker *worker, int fd)
{
	char *block = malloc(READ_SIZE);
	uint64_t arrived = 0, since = 0;
	ssize_t n;

	while ((n = recv(fd, block, READ_SIZE, 0)) != 0) {
		if (n < 0) {
			check_stall(peers, fd, POLLIN, &since);
			continue;
		}
		since = 0;
		arrived += (uint64_t)n;
		count(&worker->received, (uint64_t)n);
	}
	send_all(peers, fd, (const char *)&arrived, sizeof(arrived));
	close(fd);
	free(block);
}

/*
 * connections: one request and one answer each. The server closes first, so that each TIME_WAIT
 * stays on an accepting side and none of them holds an ephemeral port.
 */

static void connections_client(const struct peers *peers, struct worker *worker)
{
	char *message = calloc(1, peers->size);

	while (phase_of(peers) != PHASE_STOP) {
		uint64_t since = now_ns();
		int fd = connect_to_target(peers);
		char extra;

		send_all(peers, fd, message, peers->size);
		receive_message(peers, fd, message, peers->size);
		if (receive_all(peers, fd, &extra, 1))
			fail(peers, "connections: more bytes arrived than were sent");
		close(fd);
		record(peers, worker, since);
	}
	free(message);
}

static void connections_serve(const struct peers *peers, struct worker *worker, int fd)
{
	char *message = calloc(1, peers->size);

	(void)worker;
	if (receive_all(peers, fd, message, peers->size) == peers->size)
		send_all(peers, fd, message, peers->size);
	close(fd);
	free(message);
}

/* idle: many flows which exchanged one message and then stay; both ends close by exiting */

static void idle_open(const struct peers *peers, char *message)
{
	int fd = connect_to_target(peers);

	send_all(peers, fd, message, peers->size);
	receive_message(peers, fd, message, peers->size);
	atomic_fetch_add(&peers->arena->flows_open, 1);
}

static void idle_client(const struct peers *peers, struct worker *worker)
{
	const struct timespec tick = {.tv_nsec = 10000000};
	char *message = calloc(1, peers->size);

	(void)worker;
	for (unsigned int i = 0; i < IDLE_WARM_UP_FLOWS; i++)
		idle_open(peers, message);
	while (phase_of(peers) == PHASE_WARM_UP)
		nanosleep(&tick, NULL);
	for (unsigned int i = 0; i < peers->flows; i++)
		idle_open(peers, message);
	while (phase_of(peers) != PHASE_STOP)
		nanosleep(&tick, NULL);
	free(message);
}

static void idle_serve(const struct peers *peers, struct worker *worker, int fd)
{
	char *message = calloc(1, peers->size);

	(void)worker;
	receive_message(peers, fd, message, peers->size);
	send_all(peers, fd, message, peers->size);
	free(message);
}

static const struct traffic traffics[] = {
	{"pingpong", pingpong_client, pingpong_serve, .latency = true},
	{"stream", stream_client, stream_serve, .latency = false},
	{"connections", connections_client, connections_serve, .latency = true},
	{"idle", idle_client, idle_serve, .single_threaded = true},
};

const struct traffic *traffic_find(const char *name)
{
	for (size_t i = 0; i < sizeof(traffics) / sizeof(traffics[0]); i++)
		if (!strcmp(traffics[i].name, name))
			return &traffics[i];
	return NULL;
}

struct thread {
	const struct peers *peers;
	struct worker *worker;
	pthread_t id;
};

static void *client_thread(void *argument)
{
	const struct thread *thread = argument;

	thread->peers->traffic->client(thread->peers, thread->worker);
	return NULL;
}

static void *server_thread(void *argument)
{
	const struct thread *thread = argument;
	const struct peers *peers = thread->peers;

	for (;;) {
		int fd = accept4(peers->listener, NULL, NULL,
				 SOCK_CLOEXEC | (peers->polling ? SOCK_NONBLOCK : 0));

		if (fd < 0)
			fail(peers, "accept: %s", strerror(errno));
		set_options(peers, fd);
		peers->traffic->serve(peers, thread->worker, fd);
	}
	return NULL;
}

static void run_threads(const struct peers *peers, void *(*body)(void *))
{
	unsigned int threads = peers->traffic->single_threaded ? 1 : peers->flows;
	struct thread thread[MAX_WORKERS];

	for (unsigned int i = 0; i < threads; i++) {
		thread[i].peers = peers;
		thread[i].worker = &peers->arena->workers[i];
		if (pthread_create(&thread[i].id, NULL, body, &thread[i]))
			fail(peers, "no thread %u", i);
	}
	for (unsigned int i = 0; i < threads; i++)
		pthread_join(thread[i].id, NULL);
}

void peers_client(const struct peers *peers)
{
	run_threads(peers, client_thread);
}

void peers_server(const struct peers *peers)
{
	run_threads(peers, server_thread);
	abort();
}
