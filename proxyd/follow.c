// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The proxy's listeners, at the start and when another config takes over. */
#define _GNU_SOURCE
#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config/print.h"
#include "control/access_log.h"
#include "intake/listener.h"
#include "log.h"
#include "policy/watcher.h"
#include "proxy.h"

#define OBEY_S 5

static void report_listen(const struct address *address, int err)
{
	char text[ADDRESS_TEXT];

	address_format(address, text);
	if (err == -EADDRINUSE)
		log_error("cannot listen on %s: another process does; stop it or take another port",
			  text);
	else if (err == -EACCES)
		log_error("cannot listen on %s: ports below 1024 need CAP_NET_BIND_SERVICE", text);
	else if (err == -EPERM)
		log_error("cannot listen on %s: modes tproxy and steer of `intercept` take "
			  "CAP_NET_ADMIN (for IP_TRANSPARENT)",
			  text);
	else if (err == -EADDRNOTAVAIL)
		log_error("cannot listen on %s: this host has no such address", text);
	else
		log_error("cannot listen on %s: %s", text, strerror(-err));
}

static uint16_t port_of(int fd)
{
	struct address address = {.length = sizeof(address.ipv6)};

	getsockname(fd, &address.any, &address.length);
	/* sin_port and sin6_port are at the same place. */
	return address.ipv4.sin_port;
}

/*
 * Whether a listener that is there already has the same port of all addresses, or of one of them:
 * SO_REUSEPORT lets that pass, and who listens there is no other process.
 */
static bool is_own_port(const struct proxy *proxy, const struct config *before,
			const struct address *address)
{
	for (unsigned int i = 0; before && i < before->listener_count; i++) {
		const struct address *old = &before->listeners[i].address;

		/* sin_port and sin6_port are at the same place. */
		if (proxy->listening[i] && old->ipv4.sin_port == address->ipv4.sin_port &&
		    (address_is_any(old) || address_is_any(address)))
			return true;
	}
	return false;
}

/*
 * One socket for each worker. Port 0 becomes, for the workers that follow, the one given. Returns
 * 0, or -errno with nothing open.
 */
static int open_listener(struct proxy *proxy, struct plan *plan, unsigned int index, int *sockets)
{
	const struct interception *interception = plan->interceptions[index];
	struct config_listener *config = &plan->config->listeners[index];
	unsigned int opened = 0;
	int err = 0;

	while (!err && opened < proxy->settings.workers) {
		int fd = listener_open(config);

		if (fd < 0) {
			err = fd;
			break;
		}
		sockets[opened++] = fd;
		config->address.ipv4.sin_port = port_of(fd);
		if (kernel_lane_enrols(proxy->shared.kernel_lane))
			kernel_lane_claim(proxy->shared.kernel_lane, fd);
		if (interception)
			err = interception_claim(interception, fd);
	}
	if (!err)
		return 0;
	while (opened)
		close(sockets[--opened]);
	report_listen(&config->address, err);
	return err;
}

/* One who asked for the kernel lane should know why it is not taken. */
static void mention_relayed(const struct proxy *proxy, const struct config *config)
{
	for (unsigned int i = 0; proxy->shared.kernel_lane && i < config->listener_count; i++)
		if (config->listeners[i].limits.bandwidth)
			log_notice(
				"listener %s: its bandwidth is shared out by the relay lane, where "
				"all its flows stay",
				config->listeners[i].name);
}

/* The new sockets of a plan: [worker * listeners + listener], -1 where the old one goes on. */
struct sockets {
	unsigned int listeners;
	unsigned int workers;
	size_t count;
	int *items;
};

static void close_sockets(struct sockets *sockets)
{
	for (size_t i = 0; sockets->items && i < sockets->count; i++)
		if (sockets->items[i] >= 0)
			close(sockets->items[i]);
	free(sockets->items);
	sockets->items = NULL;
}

static bool goes_on(const struct proxy *proxy, const struct config *before,
		    struct config_listener *listener)
{
	for (unsigned int i = 0; before && i < before->listener_count; i++) {
		const struct config_listener *old = &before->listeners[i];

		/* Whatever port it was given is as good as another. */
		if (!listener->address.ipv4.sin_port && !strcmp(old->name, listener->name))
			listener->address.ipv4.sin_port = old->address.ipv4.sin_port;
		if (address_equal(&old->address, &listener->address))
			return proxy->listening[i];
	}
	return false;
}

/*
 * Before any is opened: one on all addresses would be in the way of another one with its port, as
 * 0.0.0.0 is of [::].
 */
static int check_addresses(const struct proxy *proxy, const struct config *before,
			   struct config *config)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < config->listener_count; i++) {
		const struct address *address = &config->listeners[i].address;

		if (goes_on(proxy, before, &config->listeners[i]) ||
		    is_own_port(proxy, before, address))
			continue;
		err = listener_check(address);
		if (err)
			report_listen(address, err);
	}
	return err;
}

static int open_sockets(struct proxy *proxy, struct plan *plan, const struct config *before,
			struct sockets *out)
{
	struct config *config = plan->config;
	struct sockets sockets = {
		.listeners = config->listener_count,
		.workers = (unsigned int)proxy->settings.workers,
	};
	int one[SL_WORKERS_MAX], err = check_addresses(proxy, before, config);

	if (err)
		return err;
	sockets.count = (size_t)sockets.listeners * sockets.workers;
	sockets.items = malloc((sockets.count + 1) * sizeof(int));
	if (!sockets.items)
		return -ENOMEM;
	memset(sockets.items, -1, (sockets.count + 1) * sizeof(int));
	for (unsigned int i = 0; !err && i < sockets.listeners; i++) {
		if (goes_on(proxy, before, &config->listeners[i]))
			continue;
		err = open_listener(proxy, plan, i, one);
		for (unsigned int w = 0; !err && w < sockets.workers; w++)
			sockets.items[w * sockets.listeners + i] = one[w];
	}
	if (err)
		close_sockets(&sockets);
	else
		*out = sockets;
	return err;
}

/* All that can fail of having the workers follow a plan; on failure some mails are made. */
static int prepare_workers(struct proxy *proxy, struct plan *plan, struct sockets *sockets,
			   struct mail **mails)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < proxy->shared.worker_count; i++) {
		int *listening = sockets->items + (size_t)i * sockets->listeners;

		err = worker_prepare(proxy->shared.workers[i], plan, listening, &mails[i]);
		memset(listening, -1, sockets->listeners * sizeof(*listening));
	}
	return err;
}

static void send_mails(struct proxy *proxy, struct mail **mails)
{
	for (unsigned int i = 0; i < proxy->shared.worker_count; i++)
		worker_send(proxy->shared.workers[i], mails[i]);
}

static void abandon_mails(const struct proxy *proxy, struct mail **mails)
{
	for (unsigned int i = 0; i < proxy->shared.worker_count; i++)
		worker_abandon(mails[i]);
}

static int make_workers(struct proxy *proxy, struct sockets *sockets)
{
	struct mail *mails[SL_WORKERS_MAX] = {0};
	int err = 0;

	for (uint32_t i = 0; !err && i < sockets->workers; i++) {
		err = worker_new(&proxy->shared, i, proxy->plan, &proxy->shared.workers[i]);
		proxy->shared.worker_count += !err;
	}
	if (!err)
		err = prepare_workers(proxy, proxy->plan, sockets, mails);
	if (!err) {
		send_mails(proxy, mails);
		return 0;
	}
	abandon_mails(proxy, mails);
	log_error("cannot make a worker: %s", strerror(-err));
	return err;
}

int proxy_listen(struct proxy *proxy, uint16_t *ports)
{
	struct config *config = proxy->plan->config;
	struct sockets sockets;
	int err;

	if (open_sockets(proxy, proxy->plan, NULL, &sockets))
		return -PROXY_EXIT_LISTEN;
	err = make_workers(proxy, &sockets);
	close_sockets(&sockets);
	if (err)
		return -PROXY_EXIT_FAILED;
	mention_relayed(proxy, config);
	for (unsigned int i = 0; i < config->listener_count; i++) {
		proxy->listening[i] = true;
		if (ports)
			ports[i] = ntohs(config->listeners[i].address.ipv4.sin_port);
	}
	return 0;
}

/* --- Another config ---------------------------------------------------------------------- */

static void mention_fixed(const struct config *now, const struct config *next)
{
	char keys[128];

	if (config_restart_keys(now, next, keys, sizeof(keys)))
		log_warning("%s: what changed here takes effect at the next start", keys);
}

/* The semaphore says that it is time to look, no more: what was given up may be answered yet. */
static bool await_worker(struct proxy *proxy, const struct worker *worker,
			 const struct timespec *end)
{
	while (!worker_has_obeyed(worker))
		if (sem_clockwait(&proxy->obeyed, CLOCK_MONOTONIC, end) && errno != EINTR)
			return worker_has_obeyed(worker);
	return true;
}

/*
 * A socket that one of these `count` workers has still to close would be in the way of the next
 * reload. Workers never block, so this is a matter of milliseconds.
 */
static void await_workers(struct proxy *proxy, struct worker *const *workers, unsigned int count)
{
	unsigned int late = 0;
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += OBEY_S;
	while (!sem_trywait(&proxy->obeyed))
		; /* of those for whom nobody had to wait */
	for (unsigned int i = 0; i < count; i++)
		late += !await_worker(proxy, workers[i], &end);
	if (late)
		log_warning("%u workers have not answered within %d s", late, OBEY_S);
}

/* What a config has open besides flows: sockets that listen, health checks, look-ups of names. */
static int64_t descriptors_of(const struct proxy *proxy, const struct config *config)
{
	return (int64_t)config->listener_count * proxy->shared.worker_count +
	       watcher_descriptors(config);
}

/* Nothing of this can fail. */
static void switch_plan(struct proxy *proxy, struct plan *plan, bool *listening,
			struct mail **mails)
{
	struct plan *before = proxy->plan;

	mention_fixed(before->config, plan->config);
	mention_relayed(proxy, plan->config);
	plan_release(before, plan);
	send_mails(proxy, mails);
	await_workers(proxy, proxy->shared.workers, proxy->shared.worker_count);
	proxy->more_descriptors +=
		descriptors_of(proxy, plan->config) - descriptors_of(proxy, before->config);
	room_follow(&proxy->room, proxy->more_descriptors);
	for (unsigned int i = 0; i < plan->config->listener_count; i++)
		listening[i] = true;
	free(proxy->listening);
	proxy->listening = listening;
	proxy->plan = plan;
	plan_forget(before);
	plan_unref(before);
}

/* As before. What was drained accepts no more, and must not intercept either. */
static void abandon(struct proxy *proxy, struct plan *plan)
{
	const struct plan *current = proxy->plan;

	plan_abandon(plan, proxy->plan);
	for (unsigned int i = 0; i < current->config->listener_count; i++)
		if (!proxy->listening[i])
			interception_end(current->interceptions[i], &current->config->listeners[i],
					 false);
}

int proxy_follow(struct proxy *proxy, struct config *config)
{
	bool *listening = calloc(config->listener_count + 1, sizeof(bool));
	struct mail *mails[SL_WORKERS_MAX] = {0};
	struct access_target target;
	struct sockets sockets = {0};
	struct plan *plan = NULL;
	int err = listening ? access_target_open(&config->access_log, &target) : -ENOMEM;

	if (err) {
		config_free(config);
		free(listening);
		return err;
	}
	err = plan_new(config, proxy->plan, worker_now_ms(), &plan);
	if (!err)
		err = access_log_prepare(proxy->shared.access_log, &target);
	if (!err)
		err = open_sockets(proxy, plan, proxy->plan->config, &sockets);
	if (!err)
		err = prepare_workers(proxy, plan, &sockets, mails);
	if (!err) {
		err = plan_commit(plan, worker_now_ms());
		if (err)
			abandon(proxy, plan);
	}
	if (err) {
		access_target_close(&target);
		abandon_mails(proxy, mails);
		close_sockets(&sockets);
		plan_unref(plan);
		free(listening);
		return err;
	}
	access_log_follow(proxy->shared.access_log, &target);
	switch_plan(proxy, plan, listening, mails);
	close_sockets(&sockets);
	proxy->reloads++;
	return 0;
}

int proxy_drain_listener(struct proxy *proxy, const char *name)
{
	const struct config *config = proxy->plan->config;

	for (unsigned int i = 0; i < config->listener_count; i++) {
		int err = 0;

		if (strcmp(config->listeners[i].name, name))
			continue;
		interception_end(proxy->plan->interceptions[i], &config->listeners[i], false);
		for (unsigned int w = 0; !err && w < proxy->shared.worker_count; w++) {
			/* One that has ended listens no more, and answers nothing. */
			if (atomic_load(&proxy->shared.workers[w]->ended))
				continue;
			err = worker_drain_listener(proxy->shared.workers[w], i);
			await_workers(proxy, &proxy->shared.workers[w], 1);
		}
		proxy->listening[i] = false;
		return err;
	}
	return -ENOENT;
}

struct upstream *proxy_upstream(const struct proxy *proxy, const char *name)
{
	const struct config *config = proxy->plan->config;

	for (unsigned int i = 0; i < config->upstream_count; i++)
		if (!strcmp(config->upstreams[i].name, name))
			return proxy->plan->upstreams[i];
	return NULL;
}
