// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The life of a flow (flow.h), through a real proxy over loopback. Built once for each lane, see
 * STAGE_LANE: a flow's ends look the same whichever lane its bytes took.
 */
#include <criterion/criterion.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/stage.h"

#define KIB   1024UL
#define LARGE (3 * 1024 * KIB)

TestSuite(flow, .timeout = 100);

static void open_flow(const struct trial *stage, struct ends *ends)
{
	cr_assert_eq(trial_connect(stage, ends, true), 0, "no connection came through");
}

static void expect_no_errors(const struct trial *stage)
{
	for (int kind = 0; kind < ERROR_KINDS; kind++)
		cr_expect_eq(stats_get(&stage_stats(stage)->errors[kind]), 0, "an error of kind %d",
			     kind);
}

static void expect_error(const struct trial *stage, enum error_kind kind, uint64_t count)
{
	cr_expect(stage_wait(&stage_stats(stage)->errors[kind], count, 20000),
		  "%lu errors of kind %d, expected %lu",
		  stats_get(&stage_stats(stage)->errors[kind]), kind, count);
}

/* Returns how many bytes were sent until nothing more goes. */
static size_t fill(int fd)
{
	char chunk[64 * KIB];
	size_t sent = 0;

	memset(chunk, 'x', sizeof(chunk));
	for (int idle = 0; idle < 3;) {
		ssize_t count = send(fd, chunk, sizeof(chunk), MSG_DONTWAIT);

		if (count > 0) {
			sent += (size_t)count;
			idle = 0;
			continue;
		}
		usleep(20 * 1000);
		idle++;
	}
	return sent;
}

/* --- OPEN -------------------------------------------------------------------------------- */

Test(flow, carries_both_directions)
{
	struct trial stage;
	struct ends ends;
	size_t at = 0;

	stage_open(&stage);
	open_flow(&stage, &ends);
	for (size_t size = 1; size < 200 * KIB; at += size, size = size * 3 + 1) {
		cr_assert_eq(trial_send(ends.client, at, size), 0);
		cr_assert_eq(trial_expect(ends.server, at, size), 0, "%zu bytes up", size);
		cr_assert_eq(trial_send(ends.server, at, size), 0);
		cr_assert_eq(trial_expect(ends.client, at, size), 0, "%zu bytes down", size);
	}
	trial_close(&ends);
	cr_assert(stage_wait(&stage_stats(&stage)->flows_active, 0, 20000));
	cr_expect_eq(stage_kernel_bytes(&stage) + stage_relay_bytes(&stage), 2 * at);
	/* Each lane is the one that this binary is about. */
	if (STAGE_LANE == LANE_RELAY)
		cr_expect_eq(stage_kernel_bytes(&stage), 0);
	if (STAGE_LANE == LANE_KERNEL)
		cr_expect_lt(stage_relay_bytes(&stage), at);
	cr_expect_eq(stats_get(&stage_stats(&stage)->flows_total), 1);
	expect_no_errors(&stage);
	stage_close(&stage);
}

Test(flow, holds_the_sender_back_and_loses_nothing)
{
	struct trial stage;
	struct ends ends;

	stage_open(&stage);
	open_flow(&stage, &ends);
	cr_expect_eq(trial_fill_and_drain(ends.client, ends.server, 16 * 1024 * KIB), 0, "up");
	cr_expect_eq(trial_fill_and_drain(ends.server, ends.client, 16 * 1024 * KIB), 0, "down");
	trial_close(&ends);
	expect_no_errors(&stage);
	stage_close(&stage);
}

/*
 * What a config says of a listener's buffers, also one that is read again, is for the relay: the
 * kernel lane may send a socket its whole window, and what does not fit would hold up the bytes
 * that the same socket has received.
 */
Test(flow, goes_up_beside_a_full_way_down_after_a_reload)
{
	struct settings settings;
	struct config *config;
	struct trial stage;
	struct ends ends;
	char chunk[64 * KIB];
	size_t sent, got = 0;
	ssize_t count;
	int backend, small = 4096;

	stage_settings(&settings);
	backend = stage_add_endpoint(&settings);
	stage_start(&stage, &settings, backend);
	cr_assert_eq(config_from_settings(&settings, &config), 0);
	config->listeners[0].tcp.send_buffer = 16 * KIB;
	cr_assert_eq(proxy_follow(stage.proxy, config), 0);
	open_flow(&stage, &ends);
	setsockopt(ends.client, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	cr_assert_gt(fill(ends.server), 0);
	sent = fill(ends.client);
	while (got < sent && (count = recv(ends.server, chunk, sizeof(chunk), 0)) > 0)
		got += (size_t)count;
	cr_expect_eq(got, sent, "%zu of %zu bytes", got, sent);
	stage_reset(&ends.client);
	trial_close(&ends);
	stage_close(&stage);
}

/* --- ENDING and SHUT --------------------------------------------------------------------- */

/* One side ends first, with `before` bytes just sent; the other goes on, then ends too. */
static void half_close(bool server_first, size_t before, size_t after)
{
	struct trial stage;
	struct ends ends;
	int first, second;

	stage_open(&stage);
	open_flow(&stage, &ends);
	first = server_first ? ends.server : ends.client;
	second = server_first ? ends.client : ends.server;
	cr_assert_eq(trial_send(first, 0, before), 0);
	cr_assert_eq(shutdown(first, SHUT_WR), 0);
	cr_expect_eq(trial_expect(second, 0, before), 0, "bytes before the first end");
	cr_expect_eq(trial_expect_end(second), 0, "the first end");
	cr_expect_eq(stats_get(&stage_stats(&stage)->flows_active), 1, "closed too early");
	/* In two parts: the direction must stay alive, not just flush what it had. */
	cr_assert_eq(trial_send(second, 0, after), 0);
	cr_expect_eq(trial_expect(first, 0, after), 0, "bytes behind the first end");
	usleep(20 * 1000);
	cr_assert_eq(trial_send(second, after, after), 0);
	cr_expect_eq(trial_expect(first, after, after), 0, "more bytes behind the first end");
	cr_assert_eq(shutdown(second, SHUT_WR), 0);
	cr_expect_eq(trial_expect_end(first), 0, "the second end");
	cr_expect(stage_wait(&stage_stats(&stage)->flows_active, 0, 20000), "not closed");
	trial_close(&ends);
	expect_no_errors(&stage);
	stage_close(&stage);
}

Test(flow, half_close_by_the_client_first)
{
	half_close(false, 1000, 1000);
}

Test(flow, half_close_by_the_server_first)
{
	half_close(true, 1000, 1000);
}

Test(flow, half_close_without_a_byte_before)
{
	half_close(false, 0, 100 * KIB);
	half_close(true, 0, 100 * KIB);
}

Test(flow, half_close_without_a_byte_at_all)
{
	half_close(false, 0, 0);
	half_close(true, 0, 0);
}

Test(flow, half_close_behind_much_data)
{
	half_close(false, 150 * KIB, 150 * KIB);
	half_close(true, 150 * KIB, 150 * KIB);
}

/* Both ends shut down while their bytes are still on the way. */
Test(flow, half_close_by_both_at_once)
{
	struct trial stage;
	struct ends ends;

	stage_open(&stage);
	open_flow(&stage, &ends);
	cr_assert_eq(trial_send(ends.client, 0, 100 * KIB), 0);
	cr_assert_eq(trial_send(ends.server, 7, 100 * KIB), 0);
	cr_assert_eq(shutdown(ends.client, SHUT_WR), 0);
	cr_assert_eq(shutdown(ends.server, SHUT_WR), 0);
	cr_expect_eq(trial_expect(ends.server, 0, 100 * KIB), 0);
	cr_expect_eq(trial_expect_end(ends.server), 0);
	cr_expect_eq(trial_expect(ends.client, 7, 100 * KIB), 0);
	cr_expect_eq(trial_expect_end(ends.client), 0);
	trial_close(&ends);
	expect_no_errors(&stage);
	stage_close(&stage);
}

/* The end must wait behind bytes that the destination has no room for yet. */
Test(flow, end_waits_behind_a_full_buffer)
{
	struct trial stage;
	struct ends ends;
	char chunk[64 * KIB];
	size_t sent = 0, got = 0;
	ssize_t count;

	stage_open(&stage);
	open_flow(&stage, &ends);
	memset(chunk, 'x', sizeof(chunk));
	while ((count = send(ends.client, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0 ||
	       (usleep(20 * 1000),
		(count = send(ends.client, chunk, sizeof(chunk), MSG_DONTWAIT)) > 0))
		sent += (size_t)count;
	cr_assert_eq(close(ends.client), 0);
	ends.client = -1;
	usleep(50 * 1000);
	while ((count = recv(ends.server, chunk, sizeof(chunk), 0)) > 0)
		got += (size_t)count;
	cr_expect_eq(count, 0);
	cr_expect_eq(got, sent, "%zu of %zu bytes arrived before the end", got, sent);
	trial_close(&ends);
	stage_close(&stage);
}

Test(flow, bytes_and_end_before_the_server_accepts)
{
	struct trial stage;
	struct ends ends;

	stage_open(&stage);
	cr_assert_eq(trial_connect(&stage, &ends, false), 0);
	cr_assert_eq(trial_send(ends.client, 0, 10 * KIB), 0);
	cr_assert_eq(shutdown(ends.client, SHUT_WR), 0);
	usleep(20 * 1000);
	cr_assert_eq(trial_accept(&stage, &ends), 0);
	cr_expect_eq(trial_expect(ends.server, 0, 10 * KIB), 0);
	cr_expect_eq(trial_expect_end(ends.server), 0);
	cr_assert_eq(trial_send(ends.server, 0, 10 * KIB), 0);
	cr_expect_eq(trial_expect(ends.client, 0, 10 * KIB), 0);
	trial_close(&ends);
	expect_no_errors(&stage);
	stage_close(&stage);
}

/* --- RESETTING --------------------------------------------------------------------------- */

/*
 * `size` bytes, then a RST: the other side gets the bytes, then a RST. Returns how many ms that
 * took.
 */
static uint64_t reset_after(bool by_server, size_t size)
{
	struct trial stage;
	struct ends ends;
	int *resetting, *survivor;
	uint64_t start, took;

	stage_open(&stage);
	open_flow(&stage, &ends);
	resetting = by_server ? &ends.server : &ends.client;
	survivor = by_server ? &ends.client : &ends.server;
	/* A server that resets before proxyd has noticed the connect has refused it. */
	cr_assert_eq(trial_send(*survivor, 0, 100), 0);
	cr_assert_eq(trial_expect(*resetting, 0, 100), 0);
	cr_assert_eq(trial_send(*resetting, 0, size), 0);
	cr_assert_eq(trial_expect(*survivor, 0, size), 0);
	start = stage_now_ms();
	stage_reset(resetting);
	cr_expect(stage_was_reset(*survivor));
	took = stage_now_ms() - start;
	cr_expect(stage_wait(&stage_stats(&stage)->flows_active, 0, 20000), "not closed");
	expect_error(&stage, by_server ? ERROR_RESET_UPSTREAM : ERROR_RESET_DOWNSTREAM, 1);
	trial_close(&ends);
	stage_close(&stage);
	return took;
}

/* Who waits for nothing does so for 3 s each time; a busy machine does not. */
static void reset_at_once(bool by_server, size_t size)
{
	unsigned int tries = 3;

	while (tries && reset_after(by_server, size) >= 2500)
		tries--;
	cr_expect(tries, "the survivor waits for nothing");
}

Test(flow, reset_by_the_client)
{
	reset_at_once(false, 1000);
	reset_at_once(false, 0);
}

Test(flow, reset_by_the_server)
{
	reset_at_once(true, 1000);
	reset_at_once(true, 0);
}

/* What proxyd's kernel has acknowledged gets through, though the other side takes its time. */
Test(flow, reset_behind_bytes_that_are_not_delivered_yet)
{
	const size_t size = 150 * KIB;
	struct trial stage;
	struct ends ends;
	int small = 4096, unacknowledged = 1;

	stage_open(&stage);
	setsockopt(stage.backend, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	open_flow(&stage, &ends);
	cr_assert_eq(trial_send(ends.client, 0, size), 0);
	for (int i = 0; i < 10000 && unacknowledged; i++) {
		usleep(2000);
		cr_assert_eq(ioctl(ends.client, SIOCOUTQ, &unacknowledged), 0);
	}
	cr_assert_eq(unacknowledged, 0);
	stage_reset(&ends.client);
	usleep(100 * 1000);
	cr_expect_eq(trial_expect(ends.server, 0, size), 0);
	cr_expect(stage_was_reset(ends.server));
	trial_close(&ends);
	stage_close(&stage);
}

/* The FIN that the other side has sent before does not keep it alive. */
Test(flow, reset_after_a_half_close)
{
	for (int by_server = 0; by_server < 2; by_server++) {
		struct trial stage;
		struct ends ends;

		stage_open(&stage);
		open_flow(&stage, &ends);
		cr_assert_eq(shutdown(by_server ? ends.client : ends.server, SHUT_WR), 0);
		cr_assert_eq(trial_expect_end(by_server ? ends.server : ends.client), 0);
		stage_reset(by_server ? &ends.server : &ends.client);
		cr_expect(stage_was_reset(by_server ? ends.client : ends.server));
		cr_expect(stage_wait(&stage_stats(&stage)->flows_active, 0, 20000), "not closed");
		trial_close(&ends);
		stage_close(&stage);
	}
}

/* A survivor that never reads what was sent before the RST must not hold the flow for ever. */
Test(flow, reset_while_the_other_side_does_not_read)
{
	struct trial stage;
	struct ends ends;

	stage_open(&stage);
	open_flow(&stage, &ends);
	fill(ends.client);
	stage_reset(&ends.client);
	cr_expect(stage_wait(&stage_stats(&stage)->flows_active, 0, 20000), "not closed");
	expect_error(&stage, ERROR_RESET_DOWNSTREAM, 1);
	trial_close(&ends);
	stage_close(&stage);
}

/* --- Stopping ---------------------------------------------------------------------------- */

Test(flow, draining_lets_it_finish)
{
	struct trial stage;
	struct ends ends;

	stage_open(&stage);
	open_flow(&stage, &ends);
	cr_assert_eq(trial_send(ends.client, 0, 1000), 0);
	cr_assert_eq(trial_expect(ends.server, 0, 1000), 0);
	proxy_drain(stage.proxy);
	usleep(50 * 1000);
	cr_expect_not(proxy_ended(stage.proxy));
	cr_assert_eq(trial_send(ends.server, 0, LARGE / 32), 0);
	cr_expect_eq(trial_expect(ends.client, 0, LARGE / 32), 0);
	trial_close(&ends);
	for (int i = 0; i < 10000 && !proxy_ended(stage.proxy); i++)
		usleep(2000);
	cr_expect(proxy_ended(stage.proxy), "the worker has not returned");
	expect_no_errors(&stage);
	stage_close(&stage);
}

/* They wait for a descriptor in the queue of a listening socket that is closed. */
Test(flow, that_never_came_in_leaves_nothing_behind)
{
	struct ends ends, waiting[3];
	struct trial stage;

	stage_open(&stage);
	stage.proxy->room.flows_max = 1;
	open_flow(&stage, &ends);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(trial_connect(&stage, &waiting[i], false), 0);
	cr_assert_eq(
		proxy_drain_listener(stage.proxy, stage.proxy->plan->config->listeners[0].name), 0);
	for (int i = 0; i < 3; i++) {
		cr_expect(stage_was_reset(waiting[i].client));
		trial_close(&waiting[i]);
	}
	trial_close(&ends);
	cr_expect(stage_wait(&stage_stats(&stage)->flows_active, 0, 20000), "not closed");
	cr_expect_eq(stage_ledgers(&stage), 0, "%u", stage_ledgers(&stage));
	stage_close(&stage);
}

/* With an answer to something else meanwhile. */
static void pause_worker(evutil_socket_t fd, short what, void *user)
{
	(void)fd;
	(void)what;
	usleep(150 * 1000);
	sem_post(user);
	usleep(300 * 1000);
}

/* What answers a command that was given up long ago answers no later one. */
Test(flow, late_answers_do_not_end_a_wait)
{
	const struct timeval now = {0};
	struct trial stage;
	struct ends ends, late;

	stage_open(&stage);
	open_flow(&stage, &ends);
	event_base_once(stage.proxy->shared.workers[0]->base, -1, EV_TIMEOUT, pause_worker,
			&stage.proxy->obeyed, &now);
	usleep(50 * 1000);
	cr_assert_eq(
		proxy_drain_listener(stage.proxy, stage.proxy->plan->config->listeners[0].name), 0);
	cr_expect_eq(trial_connect(&stage, &late, false), -1, "it still listens");
	trial_close(&ends);
	stage_close(&stage);
}

Test(flow, stopping_resets_it)
{
	struct trial stage;
	struct ends ends;

	stage_open(&stage);
	open_flow(&stage, &ends);
	cr_assert_eq(trial_send(ends.client, 0, 1000), 0);
	cr_assert_eq(trial_expect(ends.server, 0, 1000), 0);
	proxy_stop(stage.proxy);
	cr_expect(stage_was_reset(ends.client));
	cr_expect(stage_was_reset(ends.server));
	expect_error(&stage, ERROR_DRAIN_TIMEOUT, 1);
	trial_close(&ends);
	stage_close(&stage);
}
