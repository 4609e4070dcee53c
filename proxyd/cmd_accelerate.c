// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxyd accelerate */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "commands.h"
#include "direct/lane.h"
#include "direct/report.h"
#include "direct/settings.h"
#include "log.h"
#include "proxy.h"

/* Scans take at most a fiftieth of a core, however many sockets there are. */
#define SCAN_SHARE 50

/* While sockets are on their way they come sooner, for so many scans, */
#define RESTLESS_SCANS 20
#define RESTLESS_MS    10
/* and take up to a fifth. */
#define RESTLESS_SHARE 5

static uint64_t clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void block_signals(sigset_t *ends)
{
	sigemptyset(ends);
	sigaddset(ends, SIGTERM);
	sigaddset(ends, SIGINT);
	sigprocmask(SIG_BLOCK, ends, NULL);
	signal(SIGHUP, SIG_IGN);
}

/* Returns whether a signal came that asks to end. */
static bool pause_for(const sigset_t *ends, uint64_t milliseconds)
{
	const struct timespec time = {
		.tv_sec = (time_t)(milliseconds / 1000),
		.tv_nsec = (long)(milliseconds % 1000 * 1000000),
	};

	return sigtimedwait(ends, NULL, &time) > 0;
}

static void notify_systemd(const char *state)
{
#ifdef HAVE_SYSTEMD
	sd_notify(0, state);
#else
	(void)state;
#endif
}

/* `cpu_ms`: what it took of this thread's time. */
static int scan(struct direct_lane *lane, struct direct_counts *counts, uint64_t *cpu_ms)
{
	uint64_t began = clock_ms(CLOCK_THREAD_CPUTIME_ID);
	int err = direct_lane_scan(lane, counts, NULL, NULL);

	if (err)
		log_error("cannot visit the sockets: %s", strerror(-err));
	*cpu_ms = clock_ms(CLOCK_THREAD_CPUTIME_ID) - began;
	return err;
}

static void count_waits(const struct sl_sighting *sighting, void *user)
{
	unsigned int *waits = user; /* reader, call, other end */

	if (sighting->state != SL_END_LEAVING)
		return;
	for (int i = 0; i < 3; i++)
		waits[i] += sighting->waits >> i & 1;
}

static int say_what_waits(struct direct_lane *lane, int enrolled, const char *cgroup)
{
	unsigned int waits[3] = {0};
	struct direct_counts counts;

	direct_lane_scan(lane, &counts, count_waits, waits);
	log_warning("%d sockets are still in the lane, and all they send goes by TCP: the programs "
		    "of %u have not read what came direct, calls are going on on %u, the rest wait "
		    "for their other end or are reset and not closed; later: proxyd accelerate "
		    "--cgroup %s --clear",
		    enrolled, waits[0], waits[1], cgroup);
	return -PROXY_EXIT_FAILED;
}

/* Take everybody out, then what is pinned. Returns 0 or a negative exit status. */
static int drain(struct direct_lane *lane, const struct direct_settings *settings,
		 const sigset_t *ends)
{
	uint64_t until = clock_ms(CLOCK_MONOTONIC) + settings->drain_timeout_ms;
	struct direct_counts counts;
	uint64_t cpu;
	int enrolled;

	direct_lane_stop(lane);
	for (;;) {
		if (scan(lane, &counts, &cpu))
			return -PROXY_EXIT_FAILED;
		enrolled = direct_lane_enrolled(lane);
		if (enrolled <= 0)
			break;
		if (clock_ms(CLOCK_MONOTONIC) >= until || pause_for(ends, RESTLESS_MS + cpu))
			return say_what_waits(lane, enrolled, settings->cgroup);
	}
	if (enrolled < 0) {
		log_error("cannot read the socket map: %s", strerror(-enrolled));
		return -PROXY_EXIT_FAILED;
	}
	direct_lane_unpin(lane);
	return 0;
}

static uint64_t until_next(const struct direct_settings *settings, unsigned int restless_scans,
			   uint64_t cpu)
{
	bool hurry = restless_scans && restless_scans <= RESTLESS_SCANS;
	uint64_t wait = settings->interval_ms;
	uint64_t share = hurry ? RESTLESS_SHARE : SCAN_SHARE;

	if (hurry && wait > RESTLESS_MS)
		wait = RESTLESS_MS;
	return wait < cpu * share && !settings->eager ? cpu * share : wait;
}

static int run(struct direct_lane *lane, const struct direct_settings *settings)
{
	struct direct_counts counts;
	unsigned int restless = 0; /* scans in a row */
	uint64_t cpu;
	bool ready = false;
	sigset_t ends;

	block_signals(&ends);
	for (;;) {
		if (scan(lane, &counts, &cpu))
			return -PROXY_EXIT_FAILED;
		if (!ready) {
			log_notice("ready: accelerating %s", settings->cgroup);
			notify_systemd("READY=1");
		}
		ready = true;
		restless = counts.restless ? restless + 1 : 0;
		if (pause_for(&ends, until_next(settings, restless, cpu)))
			break;
	}
	notify_systemd("STOPPING=1");
	log_notice("stopping: sockets leave the lane, connections go on");
	return drain(lane, settings, &ends);
}

static void print(const struct direct_settings *settings, const struct direct_report *report)
{
	if (settings->json)
		direct_report_print_json(report);
	else
		direct_report_print(report);
}

static int watch(struct direct_lane *lane, const struct direct_settings *settings)
{
	uint64_t until = clock_ms(CLOCK_MONOTONIC) + settings->duration_ms, cpu;
	struct direct_report report = {.dry = true};
	sigset_t ends;
	int err;

	block_signals(&ends);
	do {
		if (scan(lane, &report.counts, &cpu))
			return -PROXY_EXIT_FAILED;
	} while (!pause_for(&ends, settings->interval_ms) && clock_ms(CLOCK_MONOTONIC) < until);
	if (settings->connections)
		report.connections = json_array();
	err = direct_lane_scan(lane, &report.counts, report.connections ? direct_report_add : NULL,
			       report.connections);
	if (!err)
		print(settings, &report);
	json_decref(report.connections);
	return err ? -PROXY_EXIT_FAILED : 0;
}

static int status(struct direct_lane *lane, const struct direct_settings *settings)
{
	struct direct_report report = {.running = direct_lane_running(lane)};
	int err;

	if (settings->connections)
		report.connections = json_array();
	err = direct_lane_scan(lane, &report.counts, report.connections ? direct_report_add : NULL,
			       report.connections);
	if (!err)
		err = direct_lane_totals(lane, &report.totals);
	if (!err)
		print(settings, &report);
	else
		log_error("cannot visit the sockets: %s", strerror(-err));
	json_decref(report.connections);
	return err ? -PROXY_EXIT_FAILED : 0;
}

static int clear(struct direct_lane *lane, const struct direct_settings *settings)
{
	sigset_t ends;

	block_signals(&ends);
	return drain(lane, settings, &ends);
}

int cmd_accelerate(int argc, char **argv)
{
	static int (*const modes[])(struct direct_lane *, const struct direct_settings *) = {
		[DIRECT_RUN] = run,
		[DIRECT_DRY_RUN] = watch,
		[DIRECT_CLEAR] = clear,
		[DIRECT_STATUS] = status,
	};
	struct direct_settings settings;
	struct direct_lane *lane = NULL;
	int err = direct_settings_parse(&settings, argc, argv);

	if (err)
		return err < 0 ? PROXY_EXIT_USAGE : 0;
	if (settings.verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	err = direct_lane_new(&settings, &lane);
	if (err == -ENOENT && settings.mode == DIRECT_CLEAR)
		return 0;
	if (err == -ENOENT)
		log_error("%s is not accelerated", settings.cgroup);
	if (err)
		return PROXY_EXIT_FAILED;
	err = modes[settings.mode](lane, &settings);
	direct_lane_free(lane);
	return -err;
}
