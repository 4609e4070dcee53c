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

#include "intake/listener.h"
#include "log.h"
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

int proxy_new(const struct settings *settings, struct proxy **out)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));

	if (!proxy) {
		log_error("out of memory");
		return -PROXY_EXIT_FAILED;
	}
	raise_file_limit();
	proxy->settings = *settings;
	proxy->cgroup = -1;
	if (!proxy->settings.workers)
		proxy->settings.workers = cores();
	if (proxy->settings.workers > SL_WORKERS_MAX)
		proxy->settings.workers = SL_WORKERS_MAX;
	proxy->shared.settings = &proxy->settings;
	proxy->shared.room = &proxy->room;
	proxy->started_ms = worker_now_ms();
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

	if (err) {
		snprintf(proxy->kernel_lane_reason, sizeof(proxy->kernel_lane_reason),
			 "cannot %s: %s; see proxyd doctor", step, strerror(-err));
		return without_kernel_lane(proxy, PROXY_EXIT_FAILED);
	}
	proxy->shared.sock_ops = proxy->cgroup >= 0;
	return 0;
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

static int report_listen(const struct address *address, int err)
{
	char text[ADDRESS_TEXT];

	address_format(address, text);
	if (err == -EADDRINUSE)
		log_error("cannot listen on %s: another process does; stop it or take another port",
			  text);
	else if (err == -EACCES)
		log_error("cannot listen on %s: ports below 1024 need CAP_NET_BIND_SERVICE", text);
	else if (err == -EADDRNOTAVAIL)
		log_error("cannot listen on %s: this host has no such address", text);
	else
		log_error("cannot listen on %s: %s", text, strerror(-err));
	return -PROXY_EXIT_LISTEN;
}

static uint16_t port_of(int fd)
{
	struct address address = {.length = sizeof(address.ipv6)};

	getsockname(fd, &address.any, &address.length);
	/* sin_port and sin6_port are at the same place. */
	return ntohs(address.ipv4.sin_port);
}

/* Open every --listen for one worker. Port 0 becomes, for the workers that follow, the one given.
 */
static int open_listeners(struct proxy *proxy, int *listening)
{
	for (unsigned int i = 0; i < proxy->settings.listen.count; i++) {
		struct address *address = &proxy->settings.listen.items[i];

		listening[i] = listener_open(address);
		if (listening[i] < 0) {
			report_listen(address, listening[i]);
			while (i-- > 0)
				close(listening[i]);
			return -PROXY_EXIT_LISTEN;
		}
		address->ipv4.sin_port = htons(port_of(listening[i]));
		if (proxy->shared.sock_ops)
			kernel_lane_claim(proxy->shared.kernel_lane, listening[i]);
	}
	return 0;
}

int proxy_listen(struct proxy *proxy, uint16_t *ports)
{
	struct address_list *listen = &proxy->settings.listen;
	int listening[SETTINGS_ADDRESSES_MAX];
	int err;

	for (unsigned int i = 0; i < listen->count; i++) {
		err = listener_check(&listen->items[i]);
		if (err)
			return report_listen(&listen->items[i], err);
	}
	for (uint32_t index = 0; index < proxy->settings.workers; index++) {
		err = open_listeners(proxy, listening);
		if (err)
			return err;
		err = worker_new(&proxy->shared, index, listening, &proxy->workers[index]);
		if (err) {
			log_error("cannot make a worker: %s", strerror(-err));
			return -PROXY_EXIT_FAILED;
		}
		proxy->worker_count++;
	}
	for (unsigned int i = 0; ports && i < listen->count; i++)
		ports[i] = ntohs(listen->items[i].ipv4.sin_port);
	return 0;
}

int proxy_start(struct proxy *proxy, void (*ended)(void *user), void *user)
{
	proxy->shared.ended = ended;
	proxy->shared.ended_user = user;
	if (room_measure(&proxy->room, proxy->worker_count)) {
		log_error("the limit of open files leaves no descriptors for a flow; raise it "
			  "(ulimit -n, LimitNOFILE=)");
		return -PROXY_EXIT_FAILED;
	}
	for (unsigned int i = 0; i < proxy->worker_count; i++) {
		int err;

		proxy->workers[i]->pipes.most = proxy->room.pipes_max;
		err = worker_start(proxy->workers[i]);
		if (err) {
			log_error("cannot start a thread: %s", strerror(-err));
			return -PROXY_EXIT_FAILED;
		}
	}
	return 0;
}

void proxy_drain(struct proxy *proxy)
{
	for (unsigned int i = 0; i < proxy->worker_count; i++)
		worker_drain(proxy->workers[i]);
}

void proxy_stop(struct proxy *proxy)
{
	for (unsigned int i = 0; i < proxy->worker_count; i++)
		worker_stop(proxy->workers[i]);
}

bool proxy_ended(const struct proxy *proxy)
{
	for (unsigned int i = 0; i < proxy->worker_count; i++)
		if (!atomic_load(&proxy->workers[i]->ended))
			return false;
	return true;
}

void proxy_join(struct proxy *proxy)
{
	for (unsigned int i = 0; i < proxy->worker_count; i++)
		worker_join(proxy->workers[i]);
}

void proxy_free(struct proxy *proxy)
{
	if (!proxy)
		return;
	for (unsigned int i = 0; i < proxy->worker_count; i++)
		worker_free(proxy->workers[i]);
	kernel_lane_free(proxy->shared.kernel_lane);
	if (proxy->cgroup >= 0)
		close(proxy->cgroup);
	free(proxy);
}
