// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "proxy.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control/access_log.h"
#include "direct/offers.h"
#include "log.h"
#include "policy/watcher.h"
#include "probe/capabilities.h"
#include "probe/doctor.h"

#define SOCKETS_A_FLOW 2

/* More flows than this stay in the relay: the maps are sized beforehand. */
#define KERNEL_FLOWS_MAX 65536

static unsigned int cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (unsigned int)CPU_COUNT(&set);
}

/* Flows are made of descriptors: use as many as we may have. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static uint32_t kernel_flows(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur / SOCKETS_A_FLOW > KERNEL_FLOWS_MAX)
		return KERNEL_FLOWS_MAX;
	return (uint32_t)(limit.rlim_cur / SOCKETS_A_FLOW);
}

/* What holds for the process as a whole is read from the settings from here on. */
static void take_process_keys(struct settings *settings, const struct config *config)
{
	settings->workers = config->workers ? config->workers : cores();
	if (settings->workers > SL_WORKERS_MAX)
		settings->workers = SL_WORKERS_MAX;
	settings->lane = config->lane;
	settings->window = config->window;
	settings->control = config->control;
	settings->cgroup = config->cgroup;
	settings->direct_lane = config->direct_lane;
}

static int make_plan(struct proxy *proxy)
{
	struct config *config;
	int err = config_from_settings(&proxy->settings, &config);

	if (err)
		return -PROXY_EXIT_USAGE;
	err = plan_new(config, NULL, worker_now_ms(), &proxy->plan);
	if (!err)
		proxy->listening = calloc(config->listener_count + 1, sizeof(bool));
	if (err || !proxy->listening) {
		log_error("cannot set up what is configured: %s", strerror(err ? -err : ENOMEM));
		return -PROXY_EXIT_FAILED;
	}
	take_process_keys(&proxy->settings, config);
	return 0;
}

int proxy_new(const struct settings *settings, struct proxy **out)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));
	int err;

	if (!proxy) {
		log_error("out of memory");
		return -PROXY_EXIT_FAILED;
	}
	raise_file_limit();
	proxy->settings = *settings;
	proxy->cgroup = -1;
	proxy->shared.settings = &proxy->settings;
	proxy->shared.room = &proxy->room;
	proxy->shared.obeyed = &proxy->obeyed;
	sem_init(&proxy->obeyed, 0, 0);
	proxy->started_ms = worker_now_ms();
	err = access_log_new(&proxy->shared.access_log) ? -PROXY_EXIT_FAILED : make_plan(proxy);
	if (err) {
		proxy_free(proxy);
		return err;
	}
	*out = proxy;
	return 0;
}

/* The relay serves instead: say why, once. Demanded, the kernel lane has nothing instead. */
static int without_kernel_lane(struct proxy *proxy, enum proxy_exit status)
{
	const char *reason = proxy->kernel_lane_reason;

	/* A trial of the doctor, which reports by itself. */
	if (!proxy->settings.probe)
		return -(int)status;
	if (proxy->settings.lane == LANE_KERNEL) {
		log_error("no kernel lane: %s (or use --lane auto)", reason);
		return -(int)status;
	}
	log_warning("no kernel lane, every flow is relayed: %s", reason);
	return 0;
}

/*
 * Only `--lane kernel` enrols at ESTABLISHED, so only it wants a cgroup: `auto` enrols a flow when
 * it has shown that it gains, from user space.
 */
static int open_cgroup(struct proxy *proxy)
{
	const struct settings *settings = &proxy->settings;

	if (settings->lane != LANE_KERNEL)
		return 0;
	proxy->cgroup = cgroup_open(settings->cgroup);
	if (proxy->cgroup >= 0)
		return 0;
	if (settings->cgroup) {
		log_error("--cgroup %s: %s; name a cgroup v2 directory that holds proxyd",
			  settings->cgroup, strerror(-proxy->cgroup));
		return -PROXY_EXIT_CGROUP;
	}
	/* A trial of the doctor is followed by the real thing, which says it. */
	if (settings->probe)
		log_warning(
			"cannot find or mount cgroup v2: %s; sockets are enrolled from user space "
			"instead (mount it, or name a cgroup with --cgroup)",
			strerror(-proxy->cgroup));
	return 0;
}

static int load_kernel_lane(struct proxy *proxy)
{
	const struct settings *settings = &proxy->settings;
	const struct kernel_lane_options options = {
		.workers = (uint32_t)settings->workers,
		.flows_max = kernel_flows(),
		.window = (uint32_t)settings->window,
		.watch = settings->lane == LANE_AUTO,
		.cgroup = proxy->cgroup,
		.hook = settings->stream_parser ? SKB_HOOK_PARSER : SKB_HOOK_VERDICT,
	};
	const char *step;
	int err = kernel_lane_new(&options, &proxy->shared.kernel_lane, &step);

	if (!err)
		return 0;
	snprintf(proxy->kernel_lane_reason, sizeof(proxy->kernel_lane_reason),
		 "cannot %s: %s; see proxyd doctor", step, strerror(-err));
	return without_kernel_lane(proxy, PROXY_EXIT_FAILED);
}

int proxy_open_kernel_lane(struct proxy *proxy)
{
	char missing[256];
	int err;

	if (proxy->settings.lane == LANE_RELAY) {
		strcpy(proxy->kernel_lane_reason, "--lane relay");
		return 0;
	}
	if (capabilities_missing(missing, sizeof(missing))) {
		snprintf(proxy->kernel_lane_reason, sizeof(proxy->kernel_lane_reason),
			 "missing %s; grant it (AmbientCapabilities= in a systemd unit) or run as "
			 "root",
			 missing);
		return without_kernel_lane(proxy, PROXY_EXIT_CAPABILITY);
	}
	if (proxy->settings.probe &&
	    !doctor_kernel_lane_safe(proxy->settings.stream_parser, proxy->kernel_lane_reason,
				     sizeof(proxy->kernel_lane_reason)))
		return without_kernel_lane(proxy, PROXY_EXIT_FAILED);
	err = open_cgroup(proxy);
	return err ? err : load_kernel_lane(proxy);
}

int proxy_open_access_log(struct proxy *proxy)
{
	struct access_target target;
	int err = access_target_open(&proxy->plan->config->access_log, &target);

	return err ? err : access_log_follow(proxy->shared.access_log, &target);
}

void proxy_open_direct_lane(struct proxy *proxy)
{
	const struct settings *settings = &proxy->settings;
	const struct offers_options options = {
		.config = proxy->plan->config,
		.control = settings->control,
		.eager = settings->direct_eager,
		.alternate = settings->switch_lanes,
	};

	if (!settings->direct_lane)
		return;
	proxy->direct_lane_failed = offers_new(&options, &proxy->shared.offers);
	if (proxy->direct_lane_failed)
		log_warning("no direct lane: every flow goes through proxyd");
}

int proxy_start(struct proxy *proxy, void (*ended)(void *user), void *user)
{
	proxy->shared.ended = ended;
	proxy->shared.ended_user = user;
	if (room_measure(&proxy->room, proxy->shared.worker_count,
			 watcher_descriptors(proxy->plan->config))) {
		log_error("the limit of open files leaves no descriptors for a flow; raise it "
			  "(ulimit -n, LimitNOFILE=)");
		return -PROXY_EXIT_FAILED;
	}
	for (unsigned int i = 0; i < proxy->shared.worker_count; i++) {
		int err;

		proxy->shared.workers[i]->pipes.most = proxy->room.pipes_max;
		err = worker_start(proxy->shared.workers[i]);
		if (err) {
			log_error("cannot start a thread: %s", strerror(-err));
			return -PROXY_EXIT_FAILED;
		}
	}
	if (proxy->shared.offers && offers_start(proxy->shared.offers)) {
		log_error("cannot start a thread");
		return -PROXY_EXIT_FAILED;
	}
	return plan_intercept(proxy->plan) ? -PROXY_EXIT_FAILED : 0;
}

void proxy_drain(struct proxy *proxy)
{
	plan_release(proxy->plan, NULL);
	for (unsigned int i = 0; i < proxy->shared.worker_count; i++)
		worker_drain(proxy->shared.workers[i]);
}

void proxy_stop(struct proxy *proxy)
{
	plan_release(proxy->plan, NULL);
	for (unsigned int i = 0; i < proxy->shared.worker_count; i++)
		worker_stop(proxy->shared.workers[i]);
}

bool proxy_ended(const struct proxy *proxy)
{
	for (unsigned int i = 0; i < proxy->shared.worker_count; i++)
		if (!atomic_load(&proxy->shared.workers[i]->ended))
			return false;
	return true;
}

void proxy_join(struct proxy *proxy)
{
	for (unsigned int i = 0; i < proxy->shared.worker_count; i++)
		worker_join(proxy->shared.workers[i]);
}

void proxy_free(struct proxy *proxy)
{
	if (!proxy)
		return;
	for (unsigned int i = 0; i < proxy->shared.worker_count; i++)
		worker_free(proxy->shared.workers[i]);
	access_log_free(proxy->shared.access_log);
	offers_free(proxy->shared.offers);
	kernel_lane_free(proxy->shared.kernel_lane);
	sem_destroy(&proxy->obeyed);
	plan_unref(proxy->plan);
	free(proxy->listening);
	if (proxy->cgroup >= 0)
		close(proxy->cgroup);
	free(proxy);
}
