// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/watcher.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "policy/health.h"
#include "policy/resolver.h"

#define NAME_DESCRIPTORS  8
#define CHECK_DESCRIPTORS 8 /* of an upstream */

struct watched {
	TAILQ_ENTRY(watched) entry;
	struct upstream *upstream; /* a reference */
	struct health *health;
	bool present; /* in the plan that is being followed */
};

struct watcher {
	struct event_base *base;
	struct resolver *resolver; /* NULL: nothing has a name yet */
	TAILQ_HEAD(watched_list, watched) all;
};

static void forget(struct watcher *watcher, struct watched *watched)
{
	TAILQ_REMOVE(&watcher->all, watched, entry);
	if (watcher->resolver)
		resolver_unwatch(watcher->resolver, watched->upstream);
	health_free(watched->health);
	upstream_unref(watched->upstream);
	free(watched);
}

static void mark_absent(struct watcher *watcher)
{
	struct watched *watched;

	TAILQ_FOREACH (watched, &watcher->all, entry)
		watched->present = false;
}

static void forget_absent(struct watcher *watcher)
{
	struct watched *watched, *next;

	for (watched = TAILQ_FIRST(&watcher->all); watched; watched = next) {
		next = TAILQ_NEXT(watched, entry);
		if (!watched->present)
			forget(watcher, watched);
	}
}

static struct watched *find(struct watcher *watcher, const struct upstream *upstream)
{
	struct watched *watched;

	TAILQ_FOREACH (watched, &watcher->all, entry)
		if (watched->upstream == upstream)
			return watched;
	return NULL;
}

static int add(struct watcher *watcher, struct upstream *upstream,
	       const struct config_upstream *config, struct watched **out)
{
	struct watched *watched = calloc(1, sizeof(*watched));
	int err;

	if (!watched)
		return -ENOMEM;
	err = health_new(watcher->base, upstream, &config->health, &config->tcp, &watched->health);
	if (err) {
		free(watched);
		return err;
	}
	watched->upstream = upstream_ref(upstream);
	TAILQ_INSERT_TAIL(&watcher->all, watched, entry);
	*out = watched;
	return 0;
}

static int follow(struct watcher *watcher, struct upstream *upstream,
		  const struct config_upstream *config)
{
	struct watched *watched = find(watcher, upstream);
	int err;

	if (watched)
		err = health_update(watched->health, &config->health, &config->tcp);
	else
		err = add(watcher, upstream, config, &watched);
	if (watched)
		watched->present = true;
	if (!err && watcher->resolver)
		err = resolver_watch(watcher->resolver, upstream, config);
	return err;
}

static bool has_names(const struct config *config)
{
	for (unsigned int i = 0; i < config->upstream_count; i++)
		for (unsigned int j = 0; j < config->upstreams[i].endpoint_count; j++)
			if (config->upstreams[i].endpoints[j].kind != ENDPOINT_ADDRESS)
				return true;
	return false;
}

/* Without names nobody needs to have a name server. */
static int follow_servers(struct watcher *watcher, const struct config *config)
{
	if (watcher->resolver)
		return resolver_set_servers(watcher->resolver, &config->dns_servers);
	return has_names(config)
		       ? resolver_new(watcher->base, &config->dns_servers, &watcher->resolver)
		       : 0;
}

int watcher_follow(struct watcher *watcher, const struct plan *plan)
{
	const struct config *config = plan->config;
	int err = follow_servers(watcher, config);

	mark_absent(watcher);
	for (unsigned int i = 0; i < config->upstream_count; i++) {
		int failed = follow(watcher, plan->upstreams[i], &config->upstreams[i]);

		err = failed ? failed : err;
	}
	forget_absent(watcher);
	return err;
}

unsigned int watcher_descriptors(const struct config *config)
{
	unsigned int count = has_names(config) ? NAME_DESCRIPTORS : 0;

	for (unsigned int i = 0; i < config->upstream_count; i++)
		if (config->upstreams[i].health.kind != HEALTH_NONE)
			count += config->upstreams[i].endpoint_count < CHECK_DESCRIPTORS
					 ? config->upstreams[i].endpoint_count
					 : CHECK_DESCRIPTORS;
	return count;
}

int watcher_new(struct event_base *base, struct watcher **out)
{
	struct watcher *watcher = calloc(1, sizeof(*watcher));

	if (!watcher)
		return -ENOMEM;
	watcher->base = base;
	TAILQ_INIT(&watcher->all);
	*out = watcher;
	return 0;
}

void watcher_free(struct watcher *watcher)
{
	if (!watcher)
		return;
	mark_absent(watcher);
	forget_absent(watcher);
	resolver_free(watcher->resolver);
	free(watcher);
}
