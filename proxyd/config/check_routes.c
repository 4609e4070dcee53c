// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Routes that cannot be reached, and connections that no route takes. */
#include <stdlib.h>
#include <string.h>

#include "config/check.h"
#include "policy/route.h"

/* ---- Whether one match takes all that another does ---------------------------------------- */

static bool same_text(const void *one, const void *other)
{
	return !strcmp(*(char *const *)one, *(char *const *)other);
}

/* Patterns as in route_name_fits(): "*.a" takes "*.a" too, but not "*.x.a", which takes "y.x.a". */
static bool name_covers(const void *one, const void *other)
{
	const char *inner = *(char *const *)other;

	return same_text(one, other) ||
	       (strncmp(inner, "*.", 2) != 0 && route_name_fits(*(char *const *)one, inner)) ||
	       !strcmp(*(char *const *)one, "*");
}

static bool cidr_covers(const void *one, const void *other)
{
	return cidr_holds(one, other);
}

static bool range_covers(const void *one, const void *other)
{
	const struct port_range *outer = one, *inner = other;

	return outer->first <= inner->first && inner->last <= outer->last;
}

/* Of two lists: an empty one takes everything. */
static bool covers(const void *outer, size_t outer_count, const void *inner, size_t inner_count,
		   size_t size, bool (*holds)(const void *one, const void *other))
{
	if (!outer_count)
		return true;
	if (!inner_count)
		return false;
	for (size_t i = 0; i < inner_count; i++) {
		size_t j = 0;

		while (j < outer_count &&
		       !holds((const char *)outer + j * size, (const char *)inner + i * size))
			j++;
		if (j == outer_count)
			return false;
	}
	return true;
}

#define COVERS(list, holds)                                                                        \
	covers(outer->list.items, outer->list.count, inner->list.items, inner->list.count,         \
	       sizeof(*outer->list.items), holds)

static bool match_covers(const struct config_match *outer, const struct config_match *inner)
{
	return COVERS(listeners, same_text) && COVERS(sni, name_covers) &&
	       COVERS(hosts, name_covers) && COVERS(alpn, same_text) &&
	       COVERS(sources, cidr_covers) && COVERS(destinations, cidr_covers) &&
	       COVERS(ports, range_covers) &&
	       (!outer->protocols || (inner->protocols && !(inner->protocols & ~outer->protocols)));
}

/* ---- What is said ------------------------------------------------------------------------- */

static void check_reachable(struct check *check, unsigned int index)
{
	const struct config_route *routes = check->config->routes;
	char path[CHECK_PATH];

	for (unsigned int i = 0; i < index; i++) {
		if (!match_covers(&routes[i].match, &routes[index].match))
			continue;
		check_say(check, REPORT_WARNING, check_path(path, "routes[%u]", index),
			  "it is never reached: routes[%u] (%s) takes all that it matches; put it "
			  "before that one, or leave it out",
			  i, routes[i].name);
		return;
	}
}

/* Conditions that contradict each other. */
static void check_possible(struct check *check, unsigned int index)
{
	const struct config_match *match = &check->config->routes[index].match;
	unsigned int protocols = match->protocols ? match->protocols : ~0U;
	char path[CHECK_PATH];

	if (match->sni.count || match->alpn.count)
		protocols &= PROTOCOL_TLS;
	if (match->hosts.count)
		protocols &= PROTOCOL_HTTP;
	if (!protocols)
		check_say(check, REPORT_WARNING, check_path(path, "routes[%u].match", index),
			  "nothing can match it: `sni` and `alpn` are of TLS, `host` is of plain "
			  "HTTP; make it two routes");
}

static void check_mirror(struct check *check, unsigned int index)
{
	const struct config_route *route = &check->config->routes[index];
	char path[CHECK_PATH];

	if (route->mirror == CONFIG_NONE)
		return;
	check_path(path, "routes[%u].mirror", index);
	if (route->action == ROUTE_RESET || route->action == ROUTE_CLOSE)
		check_say(check, REPORT_ERROR, path,
			  "the route rejects: there is nothing to copy; leave it out");
	else if (route->mirror == route->upstream)
		check_say(check, REPORT_WARNING, path,
			  "it is the upstream itself, which gets everything twice; name another");
}

/* Whether routes, between them, take what a match takes; one of them must do it alone. */
static bool is_taken(const struct config *config, const struct config_match *match)
{
	for (unsigned int i = 0; i < config->route_count; i++)
		if (match_covers(&config->routes[i].match, match))
			return true;
	return false;
}

static bool is_for(const struct config_route *route, const struct config_listener *listener)
{
	const struct string_list *names = &route->match.listeners;

	for (unsigned int i = 0; i < names->count; i++)
		if (!strcmp(names->items[i], listener->name))
			return true;
	return !names->count;
}

/* A route with `upstream` as its own, CONFIG_NONE for any. NULL: there is none. */
static const struct config_route *find_route(const struct config *config,
					     const struct config_listener *listener, int upstream)
{
	for (unsigned int i = 0; i < config->route_count; i++)
		if ((upstream == CONFIG_NONE || config->routes[i].upstream == upstream) &&
		    is_for(&config->routes[i], listener))
			return &config->routes[i];
	return NULL;
}

/* Listeners without a route, and those for which some connections have none. */
static void check_taken(struct check *check)
{
	const struct config *config = check->config;
	unsigned int partly = 0, first = 0;
	char path[CHECK_PATH];

	for (unsigned int i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		char *name = listener->name;
		const struct config_match match = {.listeners = {&name, 1}};

		if (!find_route(config, listener, CONFIG_NONE)) {
			check_say(check, REPORT_WARNING, check_path(path, "listeners[%u]", i),
				  "no route is for it: every connection is rejected; add one");
		} else if (!is_taken(config, &match)) {
			if (!partly++)
				first = i;
		}
	}
	if (partly)
		check_say(check, REPORT_NOTICE, "routes",
			  "a connection to listener %s%s that no route matches is rejected with a "
			  "RST; a last route without `match` would take it",
			  config->listeners[first].name, partly > 1 ? " (or to another)" : "");
}

static void check_used(struct check *check)
{
	const struct config *config = check->config;
	char path[CHECK_PATH];

	for (unsigned int i = 0; i < config->upstream_count; i++) {
		bool used = false;

		for (unsigned int j = 0; j < config->route_count && !used; j++)
			used = config->routes[j].upstream == (int)i ||
			       config->routes[j].mirror == (int)i;
		if (!used)
			check_say(check, REPORT_WARNING, check_path(path, "upstreams[%u]", i),
				  "no route leads to it; add one, or leave it out");
	}
}

/* Whether a connect to an endpoint ends up at a listener. */
static bool leads_to(const struct config_endpoint *endpoint, const struct config_listener *listener)
{
	struct address address = listener->address;

	if (endpoint->kind != ENDPOINT_ADDRESS)
		return false;
	if (address_is_any(&address) && address_is_loopback(&endpoint->address)) {
		uint16_t port = address.ipv4.sin_port;

		address = endpoint->address;
		address.ipv4.sin_port = port;
	}
	return address_equal(&address, &endpoint->address);
}

static void check_loop(struct check *check, unsigned int upstream, unsigned int endpoint)
{
	const struct config *config = check->config;
	char path[CHECK_PATH];

	for (unsigned int i = 0; i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];
		const struct config_route *route;

		if (!leads_to(&config->upstreams[upstream].endpoints[endpoint], listener))
			continue;
		route = find_route(config, listener, (int)upstream);
		if (route)
			check_say(
				check, REPORT_WARNING,
				check_path(path, "upstreams[%u].endpoints[%u]", upstream, endpoint),
				"that is listener %s, which route %s leads back here, round and "
				"round; name another server",
				listener->name, route->name);
	}
}

void check_routes(struct check *check)
{
	for (unsigned int i = 0; i < check->config->route_count; i++) {
		check_possible(check, i);
		check_reachable(check, i);
		check_mirror(check, i);
	}
	for (unsigned int i = 0; i < check->config->upstream_count; i++)
		for (unsigned int j = 0; j < check->config->upstreams[i].endpoint_count; j++)
			check_loop(check, i, j);
	check_taken(check);
	check_used(check);
}
