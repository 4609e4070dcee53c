// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Many short connections, each of which verifies that it reached the server that it asked for.
 *
 *   churn serve PORT SERVERS REALM            servers 1 to SERVERS at 127.77.0.*, 0 at ::1
 *   churn run PORT SERVERS REALM COUNT SEED   COUNT connections to servers at random
 *
 * A client says the realm, whom it wants and a number; the server answers with its own realm and
 * name and that number. Half of the clients share a few local ports, so that tuples come back while
 * what their last user left is still there; a third leave by RST without an answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define AT_ONCE       64
#define SHARED_PORTS  40
#define SHARED_FIRST  9000 /* below what the kernel gives and the other tests take */
#define PATIENCE_MS   30000
#define SERVERS_MAX   200
#define CONNECTED_MAX 4096

struct message {
	uint32_t realm;
	uint32_t name;
	uint64_t number;
};

union endpoint {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

static void fail(const char *what)
{
	fprintf(stderr, "churn: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* xorshift64* (Vigna, 2014) */
static uint64_t next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545F4914F6CDD1DULL >> 20;
}

static socklen_t address_of(uint32_t name, uint16_t port, union endpoint *out)
{
	memset(out, 0, sizeof(*out));
	if (!name) {
		out->ipv6.sin6_family = AF_INET6;
		out->ipv6.sin6_port = htons(port);
		out->ipv6.sin6_addr = in6addr_loopback;
		return sizeof(out->ipv6);
	}
	out->ipv4.sin_family = AF_INET;
	out->ipv4.sin_port = htons(port);
	out->ipv4.sin_addr.s_addr = htonl(0x7f4d0000 + name); /* 127.77.0.0 */
	return sizeof(out->ipv4);
}

static void watch(int epoll, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		fail("epoll_ctl");
}

/* --- Servers ----------------------------------------------------------------------------- */

static uint32_t server_of[CONNECTED_MAX]; /* by descriptor, 0 none, else name + 1 */

static void open_server(int epoll, uint32_t name, uint16_t port)
{
	union endpoint address;
	socklen_t size = address_of(name, port, &address);
	int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, &address.any, size) || listen(fd, 4096))
		fail("listen");
	watch(epoll, fd, EPOLLIN, (uint64_t)fd << 32 | 1 | (uint64_t)name << 1);
}

static void take_clients(int epoll, int listening, uint32_t name)
{
	int fd;

	while ((fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		if (fd >= CONNECTED_MAX) {
			close(fd);
			continue;
		}
		server_of[fd] = name;
		watch(epoll, fd, EPOLLIN, (uint64_t)fd << 32);
	}
}

static void answer(int fd, uint32_t realm)
{
	struct message message;
	ssize_t size = recv(fd, &message, sizeof(message), 0);

	if (size < 0 && errno == EAGAIN)
		return;
	if (size != sizeof(message)) {
		close(fd);
		return;
	}
	if (message.realm != realm || message.name != server_of[fd])
		printf("wrong: server %u of realm %u got what was for %u of realm %u\n",
		       server_of[fd], realm, message.name, message.realm);
	message.realm = realm;
	message.name = server_of[fd];
	if (send(fd, &message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
		close(fd);
}

static void serve(uint16_t port, uint32_t servers, uint32_t realm)
{
	struct epoll_event events[256];
	int epoll = epoll_create1(0);

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (uint32_t name = 0; name <= servers; name++)
		open_server(epoll, name, port);
	printf("ready\n");
	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1);

		for (int i = 0; i < count; i++) {
			uint64_t data = events[i].data.u64;

			if (data & 1)
				take_clients(epoll, (int)(data >> 32), (uint32_t)data >> 1);
			else
				answer((int)(data >> 32), realm);
		}
	}
}

/* --- Clients ----------------------------------------------------------------------------- */

struct client {
	int fd; /* -1: none */
	bool sent;
	bool leaves; /* without an answer */
	struct message wanted;
};

struct run {
	struct client clients[AT_ONCE];
	uint64_t random;
	uint64_t begun, ended, count, answered, in_use;
	uint32_t servers, realm;
	uint16_t port;
	int epoll;
};

/* With a RST, so that no TIME_WAIT keeps the tuple. */
static void leave(struct run *run, struct client *client)
{
	const struct linger hard = {.l_onoff = 1};

	setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(client->fd);
	client->fd = -1;
	run->ended++;
}

/* Whether the port was to be had. */
static bool share_port(struct run *run, int fd, uint32_t name)
{
	union endpoint own;
	socklen_t size = address_of(name, 0, &own);
	int on = 1;

	if (name)
		own.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	own.ipv4.sin_port = htons((uint16_t)(SHARED_FIRST + next(&run->random) % SHARED_PORTS));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return !bind(fd, &own.any, size);
}

static void begin(struct run *run, struct client *client)
{
	union endpoint to;
	socklen_t size;

	client->wanted = (struct message){
		.realm = run->realm,
		.name = (uint32_t)(next(&run->random) % (run->servers + 1)),
		.number = run->begun + 1,
	};
	client->sent = false;
	client->leaves = next(&run->random) % 3 == 0;
	size = address_of(client->wanted.name, run->port, &to);
	client->fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (client->fd < 0)
		fail("socket");
	if (next(&run->random) % 2 && !share_port(run, client->fd, client->wanted.name))
		run->in_use++;
	if (connect(client->fd, &to.any, size) && errno != EINPROGRESS) {
		/* The tuple is another client's, or was a moment ago. */
		if (errno != EADDRNOTAVAIL && errno != EADDRINUSE)
			fail("connect");
		close(client->fd);
		client->fd = -1;
		run->in_use++;
		return;
	}
	run->begun++;
	watch(run->epoll, client->fd, EPOLLIN | EPOLLOUT | EPOLLET,
	      (uint64_t)(client - run->clients));
}

static void check_peer(const struct run *run, const struct client *client)
{
	union endpoint got, wanted;
	socklen_t size = sizeof(got), expected;

	memset(&got, 0, sizeof(got));
	expected = address_of(client->wanted.name, run->port, &wanted);
	if (getpeername(client->fd, &got.any, &size))
		fail("getpeername");
	if (size != expected || memcmp(&got, &wanted, size)) {
		errno = EPROTO;
		fail("getpeername is not who was asked for");
	}
}

static void say(struct run *run, struct client *client)
{
	int err = 0;
	socklen_t size = sizeof(err);

	if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &err, &size) || err) {
		errno = err ? err : errno;
		fail("connect");
	}
	check_peer(run, client);
	if (send(client->fd, &client->wanted, sizeof(client->wanted), MSG_NOSIGNAL) !=
	    sizeof(client->wanted))
		fail("send");
	client->sent = true;
	if (client->leaves)
		leave(run, client);
}

static void hear(struct run *run, struct client *client)
{
	struct message got;
	ssize_t size = recv(client->fd, &got, sizeof(got), 0);

	if (size < 0 && errno == EAGAIN)
		return;
	if (size != sizeof(got))
		fail("no answer");
	if (memcmp(&got, &client->wanted, sizeof(got)) != 0) {
		fprintf(stderr,
			"churn: wrong: wanted %u of realm %u, number %llu; got %u of %u, %llu\n",
			client->wanted.name, client->wanted.realm,
			(unsigned long long)client->wanted.number, got.name, got.realm,
			(unsigned long long)got.number);
		exit(1);
	}
	run->answered++;
	leave(run, client);
}

static void go_on(struct run *run, struct client *client, uint32_t events)
{
	if (client->fd >= 0 && !client->sent && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		say(run, client);
	if (client->fd >= 0 && client->sent)
		hear(run, client);
}

static void churn(struct run *run)
{
	struct epoll_event events[AT_ONCE];
	struct timespec start, end;
	double seconds;

	run->epoll = epoll_create1(0);
	for (int i = 0; i < AT_ONCE; i++)
		run->clients[i].fd = -1;
	clock_gettime(CLOCK_MONOTONIC, &start);
	while (run->ended < run->count) {
		int ready;

		for (int i = 0; i < AT_ONCE && run->begun < run->count; i++)
			if (run->clients[i].fd < 0)
				begin(run, &run->clients[i]);
		ready = epoll_wait(run->epoll, events, AT_ONCE, PATIENCE_MS);
		if (ready <= 0 && run->begun > run->ended) {
			errno = ETIMEDOUT;
			fail("nothing happens any more");
		}
		for (int i = 0; i < ready; i++)
			go_on(run, &run->clients[events[i].data.u64], events[i].events);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
	printf("%llu connections, %llu answered, %llu times the tuple was in use, %.0f a second\n",
	       (unsigned long long)run->ended, (unsigned long long)run->answered,
	       (unsigned long long)run->in_use, (double)run->ended / seconds);
}

static uint32_t number(const char *text)
{
	return (uint32_t)strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "serve") && number(argv[3]) <= SERVERS_MAX) {
		serve((uint16_t)number(argv[2]), number(argv[3]), number(argv[4]));
	} else if (argc == 7 && !strcmp(argv[1], "run")) {
		static struct run run;

		run.port = (uint16_t)number(argv[2]);
		run.servers = number(argv[3]);
		run.realm = number(argv[4]);
		run.count = number(argv[5]);
		run.random = number(argv[6]) | 1;
		churn(&run);
		return 0;
	}
	fprintf(stderr,
		"usage: churn serve PORT SERVERS REALM | run PORT SERVERS REALM COUNT SEED\n");
	return 2;
}
