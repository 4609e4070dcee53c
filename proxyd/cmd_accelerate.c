// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxyd accelerate */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "commands.h"
#include "direct/lane.h"
#include "direct/pinned.h"
#include "direct/report.h"
#include "direct/service.h"
#include "direct/settings.h"
#include "log.h"
#include "proxy.h"

static void print(const struct direct_settings *settings, const struct direct_report *report)
{
	if (settings->json)
		direct_report_print_json(report);
	else
		direct_report_print(report);
}

static int watch(struct direct_lane *lane, const struct direct_settings *settings)
{
	struct direct_report report = {.dry = true};
	int err = service_watch(lane, settings);

	if (err)
		return err;
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

/* Returns an exit status. */
static int accelerate(const struct direct_settings *settings)
{
	static int (*const modes[])(struct direct_lane *, const struct direct_settings *) = {
		[DIRECT_DRY_RUN] = watch,
		[DIRECT_CLEAR] = service_clear,
		[DIRECT_STATUS] = status,
	};
	struct direct_lane *lane = NULL;
	int err;

	if (settings->mode == DIRECT_RUN)
		return -service_run(settings, notify_systemd);
	err = direct_lane_new(settings, &lane);
	if (err == -ENOENT && settings->mode == DIRECT_CLEAR)
		return 0;
	if (err == -ENOENT && settings->through)
		log_error("no proxyd run --direct-lane has this control socket, or its `pin` is "
			  "another (--pin)");
	else if (err == -ENOENT)
		log_error("%s is not accelerated", settings->wanted.cgroup);
	if (err)
		return PROXY_EXIT_FAILED;
	err = modes[settings->mode](lane, settings);
	direct_lane_free(lane);
	return -err;
}

struct clearing {
	struct direct_settings settings;
	int status;
};

static void clear_one(const struct pinned *which, const char *path, void *user)
{
	struct clearing *clearing = user;
	int status;

	(void)path;
	clearing->settings.through = which->through ? which->number : 0;
	clearing->settings.left = which->number;
	status = accelerate(&clearing->settings);
	if (status)
		clearing->status = status;
}

/* Whatever a proxyd that is gone has left. Returns an exit status. */
static int clear_all(const struct direct_settings *settings)
{
	struct clearing clearing = {.settings = *settings};

	if (pinned_sweep(settings->wanted.pin, NULL, clear_one, &clearing))
		return PROXY_EXIT_FAILED;
	return clearing.status;
}

int cmd_accelerate(int argc, char **argv)
{
	struct direct_settings settings;
	int err = direct_settings_parse(&settings, argc, argv);

	if (!err && settings.verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	if (!err)
		service_hold_signals();
	if (err)
		err = err < 0 ? PROXY_EXIT_USAGE : 0;
	else if (settings.mode == DIRECT_CLEAR && !settings.wanted.cgroup)
		err = clear_all(&settings);
	else
		err = accelerate(&settings);
	direct_settings_clear(&settings);
	return err;
}
