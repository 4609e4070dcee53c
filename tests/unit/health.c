// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* When endpoints are checked, and what comes of the results. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "capture.h"
#include "update.h"
#include "ward.h"

/* --- Rise and fall ----------------------------------------------------------------------- */

/* Not one check more or less than was asked for, as the server counts them. */
Test(health, rise_and_fall_are_exact)
{
	struct ward ward;

	ward_open(&ward);
	ward_start(&ward);
	ward_expect(&ward, 1, true, "HTTP 200");
	for (unsigned int round = 0; round < 3; round++) {
		program_tell(&ward.backend, "mode 500");
		program_count(&ward.backend, "count");
		ward_expect(&ward, 2 + 2 * round, false, "HTTP 500");
		cr_expect_eq(program_count(&ward.backend, "count"), 3);
		program_tell(&ward.backend, "mode ok");
		ward_expect(&ward, 3 + 2 * round, true, "HTTP 200");
		cr_expect_eq(program_count(&ward.backend, "count"), 2);
	}
	ward_run(&ward, 300);
	cr_expect_eq(turn_count, 7, "%u turns", turn_count);
	ward_close(&ward);
}

/* Until so many have begun in a mode. */
static void run_checks(struct ward *ward, const char *mode, long count)
{
	program_tell(&ward->backend, "mode %s", mode);
	program_count(&ward->backend, "count");
	for (long seen = 0; seen < count; seen += program_count(&ward->backend, "count"))
		ward_run(ward, 1);
}

/* Two of three bad ones, again and again, are not three in a row. */
Test(health, a_good_check_begins_the_count_anew)
{
	struct ward ward;

	ward_open(&ward);
	ward.config.health.interval = 200;
	ward_start(&ward);
	ward_expect(&ward, 1, true, "HTTP 200");
	for (unsigned int round = 0; round < 4; round++) {
		run_checks(&ward, "500", 2);
		/* When the second one begins the first one has ended. */
		run_checks(&ward, "ok", 2);
	}
	cr_expect_eq(turn_count, 1, "%u turns", turn_count);
	ward_close(&ward);
}

/* Nothing is known of an endpoint before, so that one decides; the way back needs `rise`. */
Test(health, the_first_result_decides)
{
	struct ward ward;

	ward_open(&ward);
	program_tell(&ward.backend, "mode 503");
	ward_start(&ward);
	ward_expect(&ward, 1, false, "HTTP 503");
	cr_expect_eq(program_count(&ward.backend, "count"), 1);
	program_tell(&ward.backend, "mode ok");
	ward_expect(&ward, 2, true, "HTTP 200");
	cr_expect_eq(program_count(&ward.backend, "count"), 2);
	ward_close(&ward);
}

Test(health, the_reason_of_a_down_endpoint_is_that_of_now)
{
	struct ward ward;

	ward_open(&ward);
	program_tell(&ward.backend, "refuse");
	ward_start(&ward);
	ward_expect(&ward, 1, false, "connect refused");
	program_tell(&ward.backend, "mode 500");
	program_tell(&ward.backend, "listen");
	ward_expect(&ward, 2, false, "HTTP 500");
	ward_close(&ward);
}

/* --- When ------------------------------------------------------------------------------- */

static unsigned int accept_times(struct ward *ward, double *times, unsigned int room)
{
	char *text = strdup(program_ask(&ward->backend, "times"));
	unsigned int count = 0;

	for (char *word = strtok(text, " "); word && count < room; word = strtok(NULL, " "))
		times[count++] = strtod(word, NULL);
	free(text);
	return count;
}

static int by_size(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return a < b ? -1 : a > b;
}

/* 40% of 200 ms: from 120 to 280, on top of which comes the machine's load. */
Test(health, jitter_spreads_the_checks)
{
	double times[100];
	struct ward ward;
	unsigned int count;

	ward_open(&ward);
	ward.config.health.interval = 200;
	ward.config.health.jitter_percent = 40;
	ward_start(&ward);
	ward_run(&ward, 8000);
	count = accept_times(&ward, times, 100);
	cr_assert_geq(count, 10, "%u checks", count);
	for (unsigned int i = 1; i < count; i++)
		times[i - 1] = times[i] - times[i - 1];
	qsort(times, --count, sizeof(*times), by_size);
	fprintf(stderr, "between checks: %.1f, %.1f to %.1f, %.1f ms\n", times[0],
		times[count / 10], times[count - 1 - count / 10], times[count - 1]);
	cr_expect_geq(times[count - 1 - count / 10] - times[count / 10], 60);
	ward_close(&ward);
}

/* Returns the ms from the first of 200 first checks to the last. */
static double spread_of_first_checks(void)
{
	struct ward ward;
	double times[200];

	turn_count = 0;
	ward_open(&ward);
	ward.config.health.interval = 30000;
	ward.config.health.timeout = 20000;
	ward.config.endpoint_count = 0;
	for (unsigned int i = 1; i <= 200; i++) {
		char host[16];

		snprintf(host, sizeof(host), "127.0.1.%u", i);
		ward_add_endpoint(&ward, host, ward.backend.port);
	}
	ward_start(&ward);
	ward_wait(&ward, 200);
	cr_expect_eq(accept_times(&ward, times, 200), 200);
	ward_close(&ward);
	return times[199] - times[0];
}

/*
 * Over 2 s: not all in the same moment, and soon where an interval is long. A server that stands
 * still takes many in one moment: then once more.
 */
Test(health, first_checks_are_spread)
{
	double spread = spread_of_first_checks();

	for (unsigned int i = 0; i < 4 && spread < 1000; i++)
		spread = spread_of_first_checks();
	cr_expect_geq(spread, 1000, "all within %.1f ms", spread);
}

/* With 1024 descriptors, 32 checks at once; all endpoints have their turn. */
Test(health, many_do_not_exhaust_descriptors)
{
	const struct rlimit limit = {.rlim_cur = 1024, .rlim_max = 1024};
	struct ward ward;

	ward_open(&ward);
	setrlimit(RLIMIT_NOFILE, &limit);
	ward.config.health.interval = 1000;
	ward.config.health.timeout = 200;
	ward.config.endpoint_count = 0;
	for (unsigned int i = 0; i < WARD_ENDPOINTS; i++) {
		char host[16];

		snprintf(host, sizeof(host), "127.0.%u.%u", i / 200 + 2, i % 200 + 1);
		ward_add_endpoint(&ward, host, ward.backend.port);
	}
	program_tell(&ward.backend, "mode hang");
	ward_start(&ward);
	ward_wait(&ward, WARD_ENDPOINTS);
	/* As this end has them: the server notices an end late. */
	cr_expect(most_descriptors >= 16 && most_descriptors <= 100, "%u at once",
		  most_descriptors);
	for (unsigned int i = 0; i < WARD_ENDPOINTS; i++)
		cr_expect(!turns[i].up && strstr(turns[i].reason, "timeout"), "%s",
			  turns[i].reason);
	ward_close(&ward);
}

/* Nothing is learnt about a server from what we lack ourselves. */
Test(health, no_descriptor_left_is_no_verdict)
{
	struct rlimit limit;
	struct capture capture;
	struct ward ward;
	const char *said;
	long checks = 0;

	ward_open(&ward);
	ward_start(&ward);
	ward_expect(&ward, 1, true, "HTTP 200");
	getrlimit(RLIMIT_NOFILE, &limit);
	capture_start(&capture, stderr);
	limit.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &limit);
	ward_run(&ward, 500);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	said = capture_end(&capture, stderr);
	cr_expect_eq(turn_count, 1, "%s", turns[turn_count - 1].reason);
	cr_expect(strstr(said, "cannot be checked"), "%s", said);
	cr_expect_eq(strstr(said, "\n"), said + strlen(said) - 1, "more than once: %s", said);
	program_count(&ward.backend, "count");
	for (int i = 0; i < 50 && checks < 2; i++) {
		ward_run(&ward, 100);
		checks += program_count(&ward.backend, "count");
	}
	cr_expect_geq(checks, 2, "it does not go on");
	ward_close(&ward);
}

/* --- Which ------------------------------------------------------------------------------ */

static void update(struct ward *ward)
{
	cr_assert_eq(upstream_update(ward->upstream, &ward->config, clock_ms()), 0);
	cr_assert_eq(health_update(ward->health, &ward->config.health, &ward->config.tcp), 0);
}

/* Of those that have begun the server may hear late. One that is not answered lasts for 2 s. */
static void expect_no_more_checks(struct ward *ward)
{
	long count = 1;

	for (unsigned int i = 0; i < 8 && count; i++) {
		program_count(&ward->backend, "count");
		ward_run(ward, 2500);
		count = program_count(&ward->backend, "count");
	}
	cr_expect_eq(count, 0, "%ld in the last 2.5 s", count);
}

Test(health, endpoints_come_and_go)
{
	struct ward ward;

	ward_open(&ward);
	ward_start(&ward);
	ward_expect(&ward, 1, true, "HTTP 200");
	/* The upstream alone changes, as by DNS. */
	ward_add_endpoint(&ward, "127.0.0.5", ward.backend.port);
	cr_assert_eq(upstream_update(ward.upstream, &ward.config, clock_ms()), 0);
	ward_expect(&ward, 2, true, "HTTP 200");
	cr_expect_str_eq(turns[1].endpoint, ward.texts[1]);
	ward.config.endpoint_count = 0;
	cr_assert_eq(upstream_update(ward.upstream, &ward.config, clock_ms()), 0);
	expect_no_more_checks(&ward);
	ward_close(&ward);
}

Test(health, an_update_takes_hold)
{
	struct ward ward;

	ward_open(&ward);
	ward.config.health.interval = 3600 * 1000;
	ward_start(&ward);
	ward_expect(&ward, 1, true, "HTTP 200");
	program_tell(&ward.backend, "mode 500");
	ward.config.health.interval = 50;
	ward.config.health.fall = 2;
	program_count(&ward.backend, "count");
	update(&ward);
	ward_expect(&ward, 2, false, "HTTP 500");
	cr_expect_eq(program_count(&ward.backend, "count"), 2);
	ward_close(&ward);
}

/* A thousand reloads with nothing new neither check more often nor start anew. */
Test(health, updates_without_change_change_nothing)
{
	struct ward ward;
	uint64_t began;
	long count = 0;

	ward_open(&ward);
	ward.config.health.interval = 200;
	ward_start(&ward);
	ward_expect(&ward, 1, true, "HTTP 200");
	program_count(&ward.backend, "count");
	began = clock_ms();
	/* More of them where the server is slow. */
	for (unsigned int i = 0; i < 1000 || (i < 20000 && count < 3); i++) {
		update(&ward);
		ward_run(&ward, 1);
		if (i % 100 == 99)
			count += program_count(&ward.backend, "count");
	}
	began = clock_ms() - began;
	cr_expect(count >= 3 && count <= (long)began / 200 + 2, "%ld checks in %lu ms", count,
		  began);
	cr_expect_eq(turn_count, 1);
	ward_close(&ward);
}

Test(health, without_checks_everybody_is_up)
{
	struct ward ward;

	ward_open(&ward);
	program_tell(&ward.backend, "mode 500");
	ward_start(&ward);
	ward_expect(&ward, 1, false, "HTTP 500");
	ward.config.health.kind = HEALTH_NONE;
	update(&ward);
	ward_expect(&ward, 2, true, "not checked any more");
	expect_no_more_checks(&ward);
	ward.config.health.kind = HEALTH_HTTP;
	update(&ward);
	ward_expect(&ward, 3, false, "HTTP 500");
	ward_close(&ward);
}

/* --- The end ---------------------------------------------------------------------------- */

/* In every state that a check can be in; the sanitizers look. */
Test(health, free_while_checks_are_under_way)
{
	static const char *const modes[] = {"hang", "ok", "endless", "page", "close"};

	struct ward ward;

	for (unsigned int i = 0; i < 40; i++) {
		if (i % 8 == 0) {
			ward_open(&ward);
			program_tell(&ward.backend, "mode %s", modes[i / 8]);
		}
		ward_start(&ward);
		ward_run(&ward, i % 8 * 5);
		if (i % 8 == 7) {
			ward_close(&ward);
			continue;
		}
		health_free(ward.health);
		upstream_unref(ward.upstream);
	}
}
