// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the options of `proxyd run` stand for. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/settings.h"
#include "log.h"

#define RETRIES_MAX 1000000 /* at once: more than there can be */

static char *numbered(const char *what, unsigned int number)
{
	char *name;

	return asprintf(&name, "%s-%u", what, number) < 0 ? NULL : name;
}

static bool fill_listeners(struct config *config, const struct address_list *listen)
{
	config->listeners = calloc(listen->count, sizeof(*config->listeners));
	if (!config->listeners)
		return false;
	config->listener_count = listen->count;
	for (unsigned int i = 0; i < listen->count; i++) {
		struct config_listener *listener = &config->listeners[i];

		listener->name = numbered("listener", i + 1);
		listener->address = listen->items[i];
		listener->limits.queue_timeout = 5 * 1000;
		listener->inspect_timeout = 5 * 1000;
		listener->inspect_size = 32 * 1024;
		listener->tcp.nodelay = true;
		if (!listener->name)
			return false;
	}
	return true;
}

static void fill_defaults(struct config_upstream *upstream, const struct settings *settings)
{
	upstream->retry_budget = 100;
	upstream->retry_budget_min = RETRIES_MAX;
	upstream->connect_timeout = settings->connect_timeout;
	upstream->idle_timeout = settings->idle_timeout;
	upstream->tcp.nodelay = true;
	upstream->ejection = (struct config_ejection){
		.early_reset = 1000,
		.time = 10 * 1000,
		.time_max = 5 * 60 * 1000,
		.panic_percent = 50,
	};
}

static bool fill_upstream(struct config *config, const struct settings *settings)
{
	const struct address_list *to = &settings->upstream;
	struct config_upstream *upstream = calloc(1, sizeof(*upstream));
	char text[ADDRESS_TEXT];

	if (!upstream)
		return false;
	config->upstreams = upstream;
	config->upstream_count = 1;
	fill_defaults(upstream, settings);
	upstream->name = strdup("upstream");
	upstream->retries = to->count ? to->count - 1 : 0;
	upstream->endpoints = calloc(to->count, sizeof(*upstream->endpoints));
	if (!upstream->name || !upstream->endpoints)
		return false;
	upstream->endpoint_count = to->count;
	for (unsigned int i = 0; i < to->count; i++) {
		struct config_endpoint *endpoint = &upstream->endpoints[i];

		endpoint->address = to->items[i];
		endpoint->text = strdup(address_format(&to->items[i], text));
		endpoint->weight = 1;
		if (!endpoint->text)
			return false;
	}
	return true;
}

static bool fill_route(struct config *config)
{
	config->routes = calloc(1, sizeof(*config->routes));
	if (!config->routes)
		return false;
	config->route_count = 1;
	config->routes->name = numbered("route", 1);
	config->routes->mirror = CONFIG_NONE;
	return config->routes->name;
}

int config_from_settings(const struct settings *settings, struct config **out)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return -ENOMEM;
	config->workers = settings->workers;
	config->lane = settings->lane;
	config->window = settings->window;
	config->drain_timeout = settings->drain_timeout;
	config->control = strdup(settings->control);
	config->cgroup = settings->cgroup ? strdup(settings->cgroup) : NULL;
	fill_defaults(&config->direct, settings);
	if (!config->control || (settings->cgroup && !config->cgroup) ||
	    !fill_listeners(config, &settings->listen) || !fill_upstream(config, settings) ||
	    !fill_route(config)) {
		log_error("out of memory");
		config_free(config);
		return -ENOMEM;
	}
	*out = config;
	return 0;
}
