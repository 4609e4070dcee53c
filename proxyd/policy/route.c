// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/route.h"

#include <arpa/inet.h>
#include <string.h>

bool route_name_fits(const char *pattern, const char *name)
{
	const char *dot = strchr(name, '.');

	if (!strcmp(pattern, "*"))
		return *name != '\0';
	if (strncmp(pattern, "*.", 2) != 0)
		return *name && !strcmp(pattern, name);
	return dot && dot > name && !strcmp(pattern + 1, dot);
}

/* An empty list asks nothing. */
static bool names_fit(const struct string_list *patterns, const char *name)
{
	for (unsigned int i = 0; i < patterns->count; i++) {
		if (route_name_fits(patterns->items[i], name))
			return true;
	}
	return !patterns->count;
}

static bool listener_fits(const struct string_list *listeners, const char *name)
{
	for (unsigned int i = 0; i < listeners->count; i++) {
		if (!strcmp(listeners->items[i], name))
			return true;
	}
	return !listeners->count;
}

static bool range_fits(const struct cidr_list *ranges, const struct address *address)
{
	if (!ranges->count)
		return true;
	return address && address->length && cidr_list_holds(ranges, address);
}

static bool port_fits(const struct port_list *ports, const struct address *address)
{
	uint16_t port;

	if (!ports->count)
		return true;
	if (!address || !address->length)
		return false;
	port = ntohs(address->ipv4.sin_port); /* IPv6 has it in the same place */
	for (unsigned int i = 0; i < ports->count; i++) {
		if (port >= ports->items[i].first && port <= ports->items[i].last)
			return true;
	}
	return false;
}

static bool protocols_fit(const struct string_list *protocols, const struct inspected *inspected)
{
	for (unsigned int i = 0; i < protocols->count; i++) {
		if (inspected_offers(inspected, protocols->items[i]))
			return true;
	}
	return !protocols->count;
}

static bool connection_fits(const struct config_match *match, const struct route_facts *facts)
{
	return listener_fits(&match->listeners, facts->listener) &&
	       range_fits(&match->sources, facts->source) &&
	       range_fits(&match->destinations, facts->destination) &&
	       port_fits(&match->ports, facts->destination);
}

static bool asks_first_bytes(const struct config_match *match)
{
	return match->sni.count || match->alpn.count || match->hosts.count || match->protocols;
}

static bool first_bytes_fit(const struct config_match *match, const struct inspected *inspected)
{
	return (!match->protocols || (match->protocols & inspected->protocol)) &&
	       names_fit(&match->sni, inspected->sni) &&
	       names_fit(&match->hosts, inspected->host) && protocols_fit(&match->alpn, inspected);
}

enum route_result route_find(const struct config *config, const struct route_facts *facts,
			     const struct config_route **out)
{
	for (unsigned int i = 0; i < config->route_count; i++) {
		const struct config_route *route = &config->routes[i];

		if (!connection_fits(&route->match, facts))
			continue;
		if (asks_first_bytes(&route->match)) {
			if (!facts->inspected)
				return ROUTE_INSPECT;
			if (!first_bytes_fit(&route->match, facts->inspected))
				continue;
		}
		*out = route;
		return ROUTE_FOUND;
	}
	return ROUTE_NONE;
}
