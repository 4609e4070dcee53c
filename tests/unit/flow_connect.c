// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A flow that is CONNECTING, and timeouts. Built once for each lane, as flow.c. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow/account.h"
#include "unit/capture.h"
#include "unit/stage.h"

TestSuite(connect, .timeout = 100);
TestSuite(timeout, .timeout = 100);

static uint64_t errors(const struct trial *stage, enum error_kind kind)
{
	return stats_get(&stage_stats(stage)->errors[kind]);
}

/* Several round trips with pauses: what came after the connect must be noticed too. */
static void expect_dialogue(const struct ends *ends)
{
	for (size_t at = 0; at < 5000; at += 1000) {
		usleep(10 * 1000);
		cr_assert_eq(trial_send(ends->client, at, 1000), 0);
		cr_assert_eq(trial_expect(ends->server, at, 1000), 0, "no request from %zu", at);
		cr_assert_eq(trial_send(ends->server, at, 1000), 0);
		cr_assert_eq(trial_expect(ends->client, at, 1000), 0, "no response from %zu", at);
	}
}

/* Flows for which there is no memory. */
static atomic_int unwanted;

int __real_roll_add(struct roll *roll, void *who, uint32_t *place);
int __wrap_roll_add(struct roll *roll, void *who, uint32_t *place);

int __wrap_roll_add(struct roll *roll, void *who, uint32_t *place)
{
	if (!atomic_load(&unwanted))
		return __real_roll_add(roll, who, place);
	atomic_fetch_sub(&unwanted, 1);
	return -ENOMEM;
}

Test(connect, without_memory_leaves_nothing_behind)
{
	struct trial stage;
	struct ends ends;

	stage_open(&stage);
	atomic_store(&unwanted, 3);
	for (unsigned int i = 1; i <= 3; i++) {
		cr_assert_eq(trial_connect(&stage, &ends, false), 0);
		cr_expect(stage_wait(&stage_stats(&stage)->errors[ERROR_RESOURCES], i, 20000));
		trial_close(&ends);
	}
	cr_expect_eq(stage_ledgers(&stage), 0, "%u", stage_ledgers(&stage));
	cr_assert_eq(trial_connect(&stage, &ends, true), 0);
	expect_dialogue(&ends);
	trial_close(&ends);
	stage_close(&stage);
}

Test(connect, refused_takes_the_next_endpoint)
{
	struct settings settings;
	struct trial stage;
	struct ends ends;
	int backend;

	stage_settings(&settings);
	stage_add_refusing(&settings);
	stage_add_refusing(&settings);
	backend = stage_add_endpoint(&settings);
	stage_start(&stage, &settings, backend);
	for (int i = 0; i < 6; i++) {
		cr_assert_eq(trial_connect(&stage, &ends, true), 0);
		expect_dialogue(&ends);
		trial_close(&ends);
	}
	/* Each is the first of some flows; how turns and retries mix is the upstream's business. */
	cr_expect_geq(errors(&stage, ERROR_CONNECT_REFUSED), 4);
	cr_expect_leq(errors(&stage, ERROR_CONNECT_REFUSED), 6 * 2);
	stage_close(&stage);
}

/* connect() fails at once, without an event to wait for. */
Test(connect, unreachable_takes_the_next_endpoint)
{
	struct settings settings;
	struct trial stage;
	struct ends ends;
	int backend;

	stage_settings(&settings);
	stage_add_unreachable(&settings);
	backend = stage_add_endpoint(&settings);
	stage_start(&stage, &settings, backend);
	for (int i = 0; i < 2; i++) {
		cr_assert_eq(trial_connect(&stage, &ends, true), 0);
		expect_dialogue(&ends);
		trial_close(&ends);
	}
	cr_expect_geq(errors(&stage, ERROR_CONNECT_OTHER), 1);
	stage_close(&stage);
}

Test(connect, unreachable_by_all_resets_the_client)
{
	struct settings settings;
	struct trial stage;
	struct ends ends;

	stage_settings(&settings);
	stage_add_unreachable(&settings);
	stage_add_unreachable(&settings);
	stage_start(&stage, &settings, -1);
	cr_assert_eq(trial_connect(&stage, &ends, false), 0);
	cr_expect(stage_was_reset(ends.client));
	cr_expect_eq(errors(&stage, ERROR_CONNECT_OTHER), 2);
	trial_close(&ends);
	stage_close(&stage);
}

Test(connect, refused_by_all_resets_the_client_at_once)
{
	struct settings settings;
	struct capture log;
	struct trial stage;
	struct ends ends;

	stage_settings(&settings);
	settings.connect_timeout = 3600 * 1000;
	stage_add_refusing(&settings);
	stage_add_refusing(&settings);
	stage_start(&stage, &settings, -1);
	capture_start(&log, stderr);
	cr_assert_eq(trial_connect(&stage, &ends, false), 0);
	/* Nobody waits for a connect's hour. */
	cr_expect(stage_was_reset(ends.client));
	capture_end(&log, stderr);
	cr_expect_eq(errors(&stage, ERROR_CONNECT_REFUSED), 2, "each is tried once");
	cr_expect(strstr(log.text, "Connection refused; trying the next endpoint"), "%s", log.text);
	cr_expect(strstr(log.text, "Connection refused; client closed"), "%s", log.text);
	trial_close(&ends);
	stage_close(&stage);
}

/* The first endpoint, or the only one, does not answer. */
static void open_silent(struct trial *stage, uint64_t timeout, bool alone)
{
	struct settings settings;

	stage_settings(&settings);
	settings.connect_timeout = timeout;
	stage_add_silent(&settings);
	stage_start(stage, &settings, alone ? -1 : stage_add_endpoint(&settings));
}

Test(connect, timeout_takes_the_next_endpoint)
{
	struct trial stage;
	struct ends ends;

	open_silent(&stage, 300, false);
	cr_assert_eq(trial_connect(&stage, &ends, false), 0);
	/* What the client sends meanwhile must not be lost. */
	cr_assert_eq(trial_send(ends.client, 0, 1000), 0);
	cr_assert_eq(trial_accept(&stage, &ends), 0);
	cr_assert_eq(trial_expect(ends.server, 0, 1000), 0);
	expect_dialogue(&ends);
	cr_expect_eq(errors(&stage, ERROR_CONNECT_TIMEOUT), 1);
	trial_close(&ends);
	stage_close(&stage);
}

/* The client has sent all and its end before there was anyone to send it to. */
Test(connect, half_close_while_connecting)
{
	struct trial stage;
	struct ends ends;

	open_silent(&stage, 300, false);
	cr_assert_eq(trial_connect(&stage, &ends, false), 0);
	cr_assert_eq(trial_send(ends.client, 0, 100000), 0);
	cr_assert_eq(shutdown(ends.client, SHUT_WR), 0);
	cr_assert_eq(trial_accept(&stage, &ends), 0);
	cr_expect_eq(trial_expect(ends.server, 0, 100000), 0);
	cr_expect_eq(trial_expect_end(ends.server), 0);
	cr_assert_eq(trial_send(ends.server, 0, 1000), 0);
	cr_expect_eq(trial_expect(ends.client, 0, 1000), 0);
	trial_close(&ends);
	stage_close(&stage);
}

Test(connect, timeout_of_all_resets_the_client)
{
	struct trial stage;
	struct ends ends;
	uint64_t start, took;

	open_silent(&stage, 400, true);
	start = stage_now_ms();
	cr_assert_eq(trial_connect(&stage, &ends, false), 0);
	cr_expect(stage_was_reset(ends.client));
	took = stage_now_ms() - start;
	cr_expect_geq(took, 350, "after %lu ms", took);
	cr_expect_eq(errors(&stage, ERROR_CONNECT_TIMEOUT), 1);
	trial_close(&ends);
	stage_close(&stage);
}

Test(connect, is_given_up_when_the_client_resets)
{
	struct trial stage;
	struct ends ends;

	open_silent(&stage, 3600 * 1000, true);
	cr_assert_eq(trial_connect(&stage, &ends, false), 0);
	cr_assert(stage_wait(&stage_stats(&stage)->flows_active, 1, 20000));
	stage_reset(&ends.client);
	cr_expect(stage_wait(&stage_stats(&stage)->flows_active, 0, 20000),
		  "it goes on for nobody");
	stage_close(&stage);
}

/* --- The idle timeout -------------------------------------------------------------------- */

/* Longer than a busy machine stands still, or a dialogue would be cut off. */
#define IDLE_MS 3000

static void start_with_idle_timeout(struct trial *stage, struct ends *ends, uint64_t timeout)
{
	const struct timeval patience = {.tv_sec = 60};
	struct settings settings;
	int backend;

	stage_settings(&settings);
	settings.idle_timeout = timeout;
	backend = stage_add_endpoint(&settings);
	stage_start(stage, &settings, backend);
	cr_assert_eq(trial_connect(stage, ends, true), 0);
	/* An end that comes late is another test's affair. */
	cr_assert_eq(setsockopt(ends->client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)),
		     0);
	cr_assert_eq(setsockopt(ends->server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)),
		     0);
	expect_dialogue(ends);
}

Test(timeout, idle_ends_both_sides)
{
	struct trial stage;
	struct ends ends;
	uint64_t start, took;

	start = stage_now_ms();
	start_with_idle_timeout(&stage, &ends, IDLE_MS);
	cr_expect_eq(trial_expect_end(ends.client), 0);
	took = stage_now_ms() - start;
	cr_expect_geq(took, IDLE_MS - 100, "after %lu ms", took);
	cr_expect_eq(trial_expect_end(ends.server), 0);
	cr_expect_eq(errors(&stage, ERROR_IDLE_TIMEOUT), 1);
	trial_close(&ends);
	stage_close(&stage);
}

/* A stream of which a part has not arrived must not seem to have ended there. */
static void idle_while_stuck(bool down)
{
	char chunk[16 * 1024];
	struct trial stage;
	struct ends ends;
	int from, to;
	ssize_t got;

	start_with_idle_timeout(&stage, &ends, IDLE_MS);
	from = down ? ends.server : ends.client;
	to = down ? ends.client : ends.server;
	memset(chunk, 'x', sizeof(chunk));
	for (int stuck = 0; stuck < 3;) {
		if (send(from, chunk, sizeof(chunk), MSG_DONTWAIT) > 0) {
			stuck = 0;
			continue;
		}
		usleep(20 * 1000);
		stuck++;
	}
	cr_expect(stage_wait(&stage_stats(&stage)->flows_active, 0, 20000), "it goes on");
	while ((got = recv(to, chunk, sizeof(chunk), 0)) > 0)
		;
	cr_expect(got < 0 && errno == ECONNRESET, "a clean end of a part");
	cr_expect(stage_was_reset(from));
	cr_expect_eq(errors(&stage, ERROR_IDLE_TIMEOUT), 1);
	trial_close(&ends);
	stage_close(&stage);
}

Test(timeout, idle_resets_a_stream_that_is_stuck)
{
	idle_while_stuck(false);
	idle_while_stuck(true);
}

/* One direction alone keeps a flow alive, also when proxyd does not see its bytes. */
Test(timeout, idle_is_not_a_flow_that_sends_now_and_then)
{
	struct trial stage;
	struct ends ends;

	start_with_idle_timeout(&stage, &ends, IDLE_MS);
	for (size_t at = 5000; at < 5045; at++) {
		usleep(100 * 1000);
		cr_assert_eq(trial_send(ends.server, at, 1), 0);
		cr_assert_eq(trial_expect(ends.client, at, 1), 0, "cut off after %zu bytes",
			     at - 5000);
	}
	cr_expect_eq(errors(&stage, ERROR_IDLE_TIMEOUT), 0);
	trial_close(&ends);
	stage_close(&stage);
}

Test(timeout, idle_applies_to_half_closed_flows)
{
	struct trial stage;
	struct ends ends;

	start_with_idle_timeout(&stage, &ends, IDLE_MS);
	cr_assert_eq(shutdown(ends.client, SHUT_WR), 0);
	cr_assert_eq(trial_expect_end(ends.server), 0);
	cr_expect_eq(trial_expect_end(ends.client), 0);
	cr_expect_eq(errors(&stage, ERROR_IDLE_TIMEOUT), 1);
	trial_close(&ends);
	stage_close(&stage);
}

Test(timeout, idle_of_0_is_never)
{
	struct trial stage;
	struct ends ends;

	start_with_idle_timeout(&stage, &ends, 0);
	usleep(700 * 1000);
	expect_dialogue(&ends);
	trial_close(&ends);
	stage_close(&stage);
}

/* A clock that ticks whenever this thread looks at it. */
static _Thread_local uint64_t tick_ms, ahead_ms;

uint64_t __real_worker_now_ms(void);
uint64_t __wrap_worker_now_ms(void);

uint64_t __wrap_worker_now_ms(void)
{
	ahead_ms += tick_ms;
	return __real_worker_now_ms() + ahead_ms;
}

Test(timeout, idle_time_is_not_negative_when_the_clock_ticks_meanwhile)
{
	struct account account;
	struct trial stage;
	struct ends ends;
	uint32_t place = 0;

	start_with_idle_timeout(&stage, &ends, 0);
	tick_ms = 1000 * 1000;
	account_take(roll_next(&stage.proxy->shared.workers[0]->flows, &place), &account);
	cr_expect_leq(account.idle_ms, account.age_ms, "%lu ms", account.idle_ms);
	trial_close(&ends);
	stage_close(&stage);
}
