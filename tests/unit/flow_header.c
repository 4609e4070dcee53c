// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A PROXY header for the upstream that its socket takes byte by byte. A fresh socket has room for
 * any header, so send(2) is told to be stingy. And a peer's, with bytes behind it. Built once for
 * each lane, as flow.c.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/stage.h"

TestSuite(header, .timeout = 100);

/* Calls of send(2) by proxyd that are still to be cut short. */
static atomic_int stingy;
/* Not even told of when there is room. */
static atomic_bool stuck;
static pthread_t test;

ssize_t __real_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);

/* None, then one byte, in turns. Setting a buffer's size tells whoever waits for room (sock.c). */
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
	const int buffer = 64 * 1024;
	int left = pthread_equal(pthread_self(), test) ? 0 : atomic_load(&stingy);

	if (!left)
		return __real_send(fd, bytes, size, flags);
	atomic_store(&stingy, left - 1);
	if (left % 2)
		return __real_send(fd, bytes, size < 1 ? size : 1, flags);
	if (!atomic_load(&stuck))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	errno = EAGAIN;
	return -1;
}

/* No cgroup v2, as in some containers: sockets are enrolled from user space. */
static bool cgroup_missing;

int __real_cgroup_open(const char *path);
int __wrap_cgroup_open(const char *path);

int __wrap_cgroup_open(const char *path)
{
	return cgroup_missing ? -ENOENT : __real_cgroup_open(path);
}

static void begin(struct trial *stage, enum proxy_version version, int cuts)
{
	struct settings settings;
	int backend;

	test = pthread_self();
	stage_settings(&settings);
	backend = stage_add_endpoint(&settings);
	stage_start(stage, &settings, backend);
	stage->proxy->plan->config->upstreams[0].proxy_protocol = version;
	stage->proxy->plan->needs_destination = true;
	atomic_store(&stingy, cuts);
}

static void expect_text(int fd, const char *text)
{
	char got[128] = "";
	ssize_t size = recv(fd, got, strlen(text), MSG_WAITALL);

	cr_assert_eq(size, (ssize_t)strlen(text), "%zd bytes: '%s'", size, got);
	cr_assert_str_eq(got, text);
}

static void expect_header(const struct trial *stage, const struct ends *ends)
{
	struct sockaddr_in own;
	socklen_t size = sizeof(own);
	char line[108];

	cr_assert_eq(getsockname(ends->client, (struct sockaddr *)&own, &size), 0);
	snprintf(line, sizeof(line), "PROXY TCP4 127.0.0.1 127.0.0.1 %u %u\r\n",
		 ntohs(own.sin_port), stage->port);
	expect_text(ends->server, line);
}

/* Enough turns for `auto` to move, and then the ends, which go by the counts. */
static void expect_flow(const struct trial *stage, struct ends *ends, size_t from)
{
	const size_t header = 40; /* at least */

	for (size_t at = from; at < 60000; at += 1000) {
		cr_assert_eq(trial_send(ends->client, at, 1000), 0);
		cr_assert_eq(trial_expect(ends->server, at, 1000), 0, "no request from %zu", at);
		cr_assert_eq(trial_send(ends->server, at, 1000), 0);
		cr_assert_eq(trial_expect(ends->client, at, 1000), 0, "no response from %zu", at);
	}
	if (STAGE_LANE != LANE_RELAY)
		cr_expect_gt(stage_kernel_bytes(stage), 10000);
	cr_assert_eq(shutdown(ends->client, SHUT_WR), 0);
	cr_expect_eq(trial_expect_end(ends->server), 0);
	cr_assert_eq(shutdown(ends->server, SHUT_WR), 0);
	cr_expect_eq(trial_expect_end(ends->client), 0);
	cr_expect(stage_wait(&stage_stats(stage)->flows_active, 0, 5000), "not closed");
	/* The header counts as relayed. */
	cr_expect_geq(stage_kernel_bytes(stage) + stage_relay_bytes(stage),
		      header + 60000 + (60000 - from));
	trial_close(ends);
}

Test(header, is_sent_in_one_piece)
{
	struct trial stage;
	struct ends ends;

	begin(&stage, PROXY_V1, 0);
	cr_assert_eq(trial_connect(&stage, &ends, true), 0);
	expect_header(&stage, &ends);
	expect_flow(&stage, &ends, 0);
	stage_close(&stage);
}

Test(header, is_sent_byte_by_byte)
{
	struct trial stage;
	struct ends ends;

	begin(&stage, PROXY_V1, 2 * 40);
	cr_assert_eq(trial_connect(&stage, &ends, false), 0);
	/* These must not come in between. */
	cr_assert_eq(trial_send(ends.client, 0, 1000), 0);
	cr_assert_eq(trial_accept(&stage, &ends), 0);
	expect_header(&stage, &ends);
	cr_expect_eq(atomic_load(&stingy), 0, "nothing was held back");
	cr_assert_eq(trial_expect(ends.server, 0, 1000), 0);
	expect_flow(&stage, &ends, 1000);
	stage_close(&stage);
}

/* The client has ended before the header was out. */
Test(header, goes_before_an_early_end)
{
	struct trial stage;
	struct ends ends;

	begin(&stage, PROXY_V1, 2 * 40);
	cr_assert_eq(trial_connect(&stage, &ends, false), 0);
	cr_assert_eq(shutdown(ends.client, SHUT_WR), 0);
	cr_assert_eq(trial_accept(&stage, &ends), 0);
	expect_header(&stage, &ends);
	cr_expect_eq(trial_expect_end(ends.server), 0);
	trial_close(&ends);
	stage_close(&stage);
}

/* A server that resets before it has the whole header has failed: the next one gets it all. */
Test(header, is_begun_again_with_the_next_endpoint)
{
	struct settings settings;
	struct trial stage;
	struct ends ends;
	int first, second;

	test = pthread_self();
	stage_settings(&settings);
	first = stage_add_endpoint(&settings);
	second = stage_add_endpoint(&settings);
	stage_start(&stage, &settings, first);
	stage.proxy->plan->config->upstreams[0].proxy_protocol = PROXY_V1;
	stage.proxy->plan->needs_destination = true;
	/* One byte; then only the reset is heard of. */
	atomic_store(&stuck, true);
	atomic_store(&stingy, 3);
	cr_assert_eq(trial_connect(&stage, &ends, true), 0);
	expect_text(ends.server, "P");
	for (int i = 0; i < 1000 && atomic_load(&stingy) != 1; i++)
		usleep(5000);
	atomic_store(&stingy, 0);
	stage_reset(&ends.server);
	stage.backend = second;
	cr_assert_eq(trial_accept(&stage, &ends), 0);
	expect_header(&stage, &ends);
	expect_flow(&stage, &ends, 0);
	close(first);
	stage_close(&stage);
}

/* In one segment with the first bytes: only part of it is read before the flow is open. */
static void peer_sends_all_at_once(void)
{
	static const char line[] = "PROXY TCP4 192.0.2.7 203.0.113.9 4711 443\r\n";
	struct config_listener *listener;
	struct trial stage;
	struct ends ends;

	begin(&stage, PROXY_V1, 0);
	listener = &stage.proxy->plan->config->listeners[0];
	listener->proxy_header.from.items = calloc(1, sizeof(struct cidr)); /* anybody */
	listener->proxy_header.from.count = 1;
	cr_assert_eq(trial_connect(&stage, &ends, false), 0);
	cr_assert_gt(send(ends.client, line, strlen(line), MSG_MORE), 0);
	cr_assert_eq(trial_send(ends.client, 0, 1000), 0);
	cr_assert_eq(trial_accept(&stage, &ends), 0);
	expect_text(ends.server, line);
	cr_assert_eq(trial_expect(ends.server, 0, 1000), 0, "the first bytes are stuck");
	expect_flow(&stage, &ends, 1000);
	stage_close(&stage);
}

Test(header, of_a_peer_comes_with_what_follows)
{
	peer_sends_all_at_once();
}

Test(header, of_a_peer_comes_with_what_follows_where_there_is_no_cgroup)
{
	cgroup_missing = true;
	peer_sends_all_at_once();
}
