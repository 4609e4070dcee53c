// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "probe/trial.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define CHUNK     (32 * 1024)
#define TIMEOUT_S 5
#define STUCK_MS  20

/* A prime period, so that a shift by any buffer size shows. */
static unsigned char pattern(size_t position)
{
	return (unsigned char)(position % 251 ^ position / 65521);
}

static int listen_backend(struct address *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

	*address = (struct address){.length = sizeof(address->ipv4)};
	address->ipv4.sin_family = AF_INET;
	address->ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return -1;
	if (bind(fd, &address->any, address->length) || listen(fd, 16) ||
	    getsockname(fd, &address->any, &address->length)) {
		close(fd);
		return -1;
	}
	return fd;
}

int trial_start(struct trial *trial, enum lane_choice lane, bool stream_parser, size_t window)
{
	struct settings settings;

	*trial = (struct trial){.backend = -1};
	settings_init(&settings);
	settings.lane = lane;
	settings.workers = 1;
	settings.window = window;
	settings.stream_parser = stream_parser;
	settings.probe = false;
	settings.listen.count = 1;
	settings.upstream.count = 1;
	trial->backend = listen_backend(&settings.upstream.items[0]);
	settings.listen.items[0] = settings.upstream.items[0];
	settings.listen.items[0].ipv4.sin_port = 0;
	if (trial->backend >= 0 && !proxy_new(&settings, &trial->proxy) &&
	    !proxy_open_kernel_lane(trial->proxy) && !proxy_listen(trial->proxy, &trial->port) &&
	    !proxy_start(trial->proxy, NULL, NULL))
		return 0;
	trial_stop(trial);
	return -1;
}

int trial_listen(struct trial *trial)
{
	struct address address;

	*trial = (struct trial){.backend = listen_backend(&address)};
	trial->port = ntohs(address.ipv4.sin_port);
	return trial->backend < 0 ? -1 : 0;
}

void trial_stop(struct trial *trial)
{
	if (trial->proxy) {
		proxy_stop(trial->proxy);
		proxy_join(trial->proxy);
	}
	proxy_free(trial->proxy);
	trial->proxy = NULL;
	if (trial->backend >= 0)
		close(trial->backend);
	trial->backend = -1;
}

static void set_timeouts(int fd)
{
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

int trial_accept(const struct trial *trial, struct ends *ends)
{
	struct pollfd ready = {.fd = trial->backend, .events = POLLIN};

	if (poll(&ready, 1, TIMEOUT_S * 1000) != 1)
		return -1;
	ends->server = accept4(trial->backend, NULL, NULL, SOCK_CLOEXEC);
	if (ends->server < 0)
		return -1;
	set_timeouts(ends->server);
	return 0;
}

int trial_connect(const struct trial *trial, struct ends *ends, bool accept)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(trial->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	*ends = (struct ends){-1, -1};
	ends->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
	if (ends->client < 0)
		return -1;
	set_timeouts(ends->client);
	if (connect(ends->client, (struct sockaddr *)&to, sizeof(to)))
		return -1;
	return accept ? trial_accept(trial, ends) : 0;
}

void trial_close(struct ends *ends)
{
	if (ends->client >= 0)
		close(ends->client);
	if (ends->server >= 0)
		close(ends->server);
	*ends = (struct ends){-1, -1};
}

/* Returns the bytes sent; with MSG_DONTWAIT that may be none. */
static ssize_t send_some(int fd, size_t at, size_t size, int flags)
{
	unsigned char chunk[CHUNK];
	ssize_t sent;

	if (size > CHUNK)
		size = CHUNK;
	for (size_t i = 0; i < size; i++)
		chunk[i] = pattern(at + i);
	sent = send(fd, chunk, size, flags | MSG_NOSIGNAL);
	return sent < 0 && errno == EAGAIN && flags ? 0 : sent;
}

int trial_send(int fd, size_t at, size_t size)
{
	while (size) {
		ssize_t sent = send_some(fd, at, size, 0);

		if (sent <= 0)
			return -1;
		at += (size_t)sent;
		size -= (size_t)sent;
	}
	return 0;
}

/* Returns the bytes read, or -1 when there were none in time or they are wrong. */
static ssize_t expect_some(int fd, size_t at, size_t size)
{
	unsigned char chunk[CHUNK];
	ssize_t got = recv(fd, chunk, size < CHUNK ? size : CHUNK, 0);

	for (ssize_t i = 0; i < got; i++)
		if (chunk[i] != pattern(at + (size_t)i))
			return -1;
	return got > 0 ? got : -1;
}

int trial_expect(int fd, size_t at, size_t size)
{
	while (size) {
		ssize_t got = expect_some(fd, at, size);

		if (got < 0)
			return -1;
		at += (size_t)got;
		size -= (size_t)got;
	}
	return 0;
}

int trial_expect_end(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) ? -1 : 0;
}

int trial_fill_and_drain(int from, int to, size_t size)
{
	size_t sent = 0, got = 0;

	while (got < size) {
		struct pollfd writable = {.fd = from, .events = POLLOUT};
		ssize_t count = 0;

		if (sent < size && poll(&writable, 1, STUCK_MS) == 1)
			count = send_some(from, sent, size - sent, MSG_DONTWAIT);
		if (count < 0)
			return -1;
		sent += (size_t)count;
		if (count)
			continue;
		while (got < sent) {
			count = expect_some(to, got, sent - got);
			if (count < 0)
				return -1;
			got += (size_t)count;
		}
	}
	return 0;
}
