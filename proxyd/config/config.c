// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/config.h"

#include <stdlib.h>

static void free_strings(struct string_list *list)
{
	for (unsigned int i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
}

static void free_listener(struct config_listener *listener)
{
	free(listener->name);
	free(listener->allow.items);
	free(listener->deny.items);
	free(listener->tcp.interface);
}

static void free_route(struct config_route *route)
{
	free(route->name);
	free_strings(&route->match.listeners);
	free(route->match.sources.items);
	free(route->match.destinations.items);
	free(route->match.ports.items);
	free_strings(&route->match.sni);
	free_strings(&route->match.alpn);
	free_strings(&route->match.hosts);
}

static void free_upstream(struct config_upstream *upstream)
{
	free(upstream->name);
	for (unsigned int i = 0; i < upstream->endpoint_count; i++) {
		free(upstream->endpoints[i].text);
		free(upstream->endpoints[i].host);
	}
	free(upstream->endpoints);
	free(upstream->tcp.interface);
	free(upstream->health.path);
	free(upstream->health.host);
	free(upstream->health.statuses.items);
	free(upstream->health.send);
	free(upstream->health.expect);
}

void config_free(struct config *config)
{
	if (!config)
		return;
	free(config->path);
	free(config->control);
	free(config->cgroup);
	free_strings(&config->dns_servers);
	for (unsigned int i = 0; i < config->listener_count; i++)
		free_listener(&config->listeners[i]);
	free(config->listeners);
	for (unsigned int i = 0; i < config->route_count; i++)
		free_route(&config->routes[i]);
	free(config->routes);
	for (unsigned int i = 0; i < config->upstream_count; i++)
		free_upstream(&config->upstreams[i]);
	free(config->upstreams);
	free_upstream(&config->direct);
	free(config);
}
