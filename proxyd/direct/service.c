// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "direct/service.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "direct/pace.h"
#include "log.h"
#include "proxy.h"

/* Of a cgroup that was removed: no process is in it, but one that has left it may have a socket. */
#define OLD_PATIENCE_MS 1000

static sigset_t end_signals(void)
{
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	return ends;
}

void service_hold_signals(void)
{
	const sigset_t ends = end_signals();

	sigprocmask(SIG_BLOCK, &ends, NULL);
	signal(SIGHUP, SIG_IGN);
}

/* Returns whether one of these signals came. */
static bool pause_for(uint64_t milliseconds, const sigset_t *signals)
{
	const struct timespec time = {
		.tv_sec = (time_t)(milliseconds / 1000),
		.tv_nsec = (long)(milliseconds % 1000 * 1000000),
	};

	return sigtimedwait(signals, NULL, &time) > 0;
}

static void count_waits(const struct sl_sighting *sighting, void *user)
{
	unsigned int *waits = user; /* reader, call, other end */

	if (sighting->state != SL_END_LEAVING)
		return;
	for (int i = 0; i < 3; i++)
		waits[i] += sighting->waits >> i & 1;
}

static int say_what_waits(struct direct_lane *lane, int enrolled)
{
	unsigned int waits[3] = {0};
	struct direct_counts counts;

	direct_lane_scan(lane, &counts, count_waits, waits);
	log_warning("%s: %d sockets are still in the lane, and all they send goes by TCP: the "
		    "programs of %u have not read what came direct, calls are going on on %u, the "
		    "rest wait for their other end or are reset and not closed; later: proxyd "
		    "accelerate --clear",
		    direct_lane_path(lane), enrolled, waits[0], waits[1]);
	return -PROXY_EXIT_FAILED;
}

/* Take everybody out, then what is pinned. Returns 0 or a negative exit status. */
static int drain(struct direct_lane *lane, const struct direct_settings *settings)
{
	uint64_t until = pace_clock_ms(CLOCK_MONOTONIC) + settings->wanted.drain_timeout;
	struct direct_counts counts;
	struct pace pace = {0};
	sigset_t impatience;
	int enrolled;

	/* SIGTERM may come twice: to all of a service's processes, and from service_stop(). */
	sigemptyset(&impatience);
	sigaddset(&impatience, SIGINT);

	direct_lane_stop(lane);
	for (;;) {
		if (pace_scan(lane, &counts, &pace))
			return -PROXY_EXIT_FAILED;
		enrolled = direct_lane_enrolled(lane);
		if (enrolled <= 0)
			break;
		if (pace_clock_ms(CLOCK_MONOTONIC) >= until ||
		    pause_for(PACE_RESTLESS_MS + pace.cpu_ms, &impatience))
			return say_what_waits(lane, enrolled);
	}
	if (enrolled < 0) {
		log_error("cannot read the socket map: %s", strerror(-enrolled));
		return -PROXY_EXIT_FAILED;
	}
	direct_lane_unpin(lane);
	return 0;
}

struct service {
	struct direct_settings settings; /* strings and lists are the caller's */
	struct direct_lane *lane;
	ino_t cgroup;
	bool lost; /* and it has been said */
};

/* Returns 0 or a negative exit status. */
static int begin(struct service *service)
{
	struct stat named;

	service->lost = false;
	service->cgroup = stat(service->settings.wanted.cgroup, &named) ? 0 : named.st_ino;
	return direct_lane_new(&service->settings, &service->lane) ? -PROXY_EXIT_FAILED : 0;
}

/*
 * A cgroup of the same name that was made anew, as for a service that was restarted. Whoever made
 * connections there has not been there before.
 */
static int follow_cgroup(struct service *service)
{
	struct direct_settings old = service->settings;
	struct stat named;

	if (stat(old.wanted.cgroup, &named)) {
		if (!service->lost)
			log_warning("%s: %s; accelerating goes on when it is made anew",
				    old.wanted.cgroup, strerror(errno));
		service->lost = true;
		return 0;
	}
	if (named.st_ino == service->cgroup)
		return 0;
	log_notice("%s was made anew: accelerating the new one", old.wanted.cgroup);
	old.wanted.drain_timeout = OLD_PATIENCE_MS;
	drain(service->lane, &old); /* what stays is pinned, and was named */
	direct_lane_free(service->lane);
	service->lane = NULL;
	service->settings.wanted.existing = 1;
	return begin(service);
}

static int go_on(struct service *service, const sigset_t *ends, void (*notify)(const char *state))
{
	struct direct_counts counts;
	struct pace pace = {0};
	bool ready = false;

	do {
		if (follow_cgroup(service))
			return -PROXY_EXIT_FAILED;
		/* Without the next ones nobody would leave the lane any more. */
		if (pace_scan(service->lane, &counts, &pace) && !ready)
			return -PROXY_EXIT_FAILED;
		if (!ready) {
			log_notice("ready: accelerating %s", service->settings.wanted.cgroup);
			notify("READY=1");
		}
		ready = true;
	} while (!pause_for(pace_until_next(&service->settings, &pace), ends));
	return 0;
}

int service_run(const struct direct_settings *settings, void (*notify)(const char *state))
{
	struct service service = {.settings = *settings};
	const sigset_t ends = end_signals();
	int err = begin(&service);

	if (!err)
		err = go_on(&service, &ends, notify);
	if (!err) {
		notify("STOPPING=1");
		log_notice("stopping: sockets leave the lane, connections go on");
		err = drain(service.lane, settings);
	}
	direct_lane_free(service.lane);
	return err;
}

int service_watch(struct direct_lane *lane, const struct direct_settings *settings)
{
	uint64_t until = pace_clock_ms(CLOCK_MONOTONIC) + settings->duration_ms;
	const sigset_t ends = end_signals();
	struct direct_counts counts;
	struct pace pace = {0};

	do {
		if (pace_scan(lane, &counts, &pace))
			return -PROXY_EXIT_FAILED;
	} while (!pause_for(settings->wanted.interval, &ends) &&
		 pace_clock_ms(CLOCK_MONOTONIC) < until);
	return 0;
}

int service_clear(struct direct_lane *lane, const struct direct_settings *settings)
{
	return drain(lane, settings);
}

/* --- In a process of its own ----------------------------------------------------------------- */

static void ignore(const char *state)
{
	(void)state;
}

static _Noreturn void be_child(const struct direct_settings *settings, pid_t parent)
{
	int err;

	/* Whatever way the proxy ends: SIGTERM makes it leave nothing behind. */
	service_hold_signals();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(0);
	err = service_run(settings, ignore);
	if (err)
		log_error("acceleration: it has ended; flows are proxied all the same");
	_exit(-err);
}

pid_t service_start(const struct config *config)
{
	const pid_t parent = getpid();
	struct direct_settings settings;
	pid_t child;

	if (!config->acceleration.cgroup ||
	    direct_settings_from_config(&settings, &config->acceleration))
		return 0;
	child = fork();
	if (!child)
		be_child(&settings, parent);
	if (child < 0)
		log_error("acceleration: cannot make a process: %s", strerror(errno));
	return child < 0 ? 0 : child;
}

void service_stop(pid_t process)
{
	if (process <= 0)
		return;
	kill(process, SIGTERM);
	while (waitpid(process, NULL, 0) < 0 && errno == EINTR)
		;
}
