// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "config/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/suggest.h"
#include "sidelane/direct.h"

const char *check_path(char text[CHECK_PATH], const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, CHECK_PATH, format, arguments);
	va_end(arguments);
	return text;
}

void check_say(struct check *check, enum report_level level, const char *path, const char *format,
	       ...)
{
	const yaml_node_t *node = check->document ? document_locate(check->document, path) : NULL;
	va_list arguments;

	va_start(arguments, format);
	report_add(check->report, level, node ? node_line(node) : 0, node ? node_column(node) : 0,
		   path, format, arguments);
	va_end(arguments);
}

/* ---- What follows ------------------------------------------------------------------------- */

static int complete_name(char **name, const char *what, unsigned int index)
{
	char *made;

	if (*name)
		return 0;
	if (asprintf(&made, "%s-%u", what, index + 1) < 0)
		return -ENOMEM;
	*name = made;
	return 0;
}

/* A port of its own need not speak what the flows' port does. */
static void complete_health(struct config_upstream *upstream)
{
	struct config_health *health = &upstream->health;

	health->header = health->send_proxy ? PROXY_V2 : PROXY_NONE;
	if (!health->port && upstream->proxy_protocol)
		health->header = upstream->proxy_protocol;
}

int config_complete(struct config *config)
{
	int err = 0;

	for (unsigned int i = 0; i < config->upstream_count; i++)
		complete_health(&config->upstreams[i]);
	for (unsigned int i = 0; i < config->listener_count && !err; i++) {
		struct config_limits *limits = &config->listeners[i].limits;

		if (!limits->rate_burst)
			limits->rate_burst = limits->rate_per_source;
		err = complete_name(&config->listeners[i].name, "listener", i);
	}
	for (unsigned int i = 0; i < config->route_count && !err; i++)
		err = complete_name(&config->routes[i].name, "route", i);
	complete_intercepts(config);
	return err;
}

/* ---- Names -------------------------------------------------------------------------------- */

static void check_listeners(struct check *check)
{
	const struct config *config = check->config;
	char path[CHECK_PATH];

	for (unsigned int i = 1; i < config->listener_count; i++) {
		for (unsigned int j = 0; j < i; j++) {
			if (!strcmp(config->listeners[i].name, config->listeners[j].name))
				check_say(check, REPORT_ERROR,
					  check_path(path, "listeners[%u].name", i),
					  "listeners[%u] has the name '%s' too; choose another", j,
					  config->listeners[i].name);
			if (config->listeners[i].address.length &&
			    address_equal(&config->listeners[i].address,
					  &config->listeners[j].address))
				check_say(
					check, REPORT_ERROR,
					check_path(path, "listeners[%u].address", i),
					"listeners[%u] has this address too; leave one of them out",
					j);
		}
	}
}

static void check_upstream_names(struct check *check)
{
	const struct config *config = check->config;
	char path[CHECK_PATH];

	for (unsigned int i = 1; i < config->upstream_count; i++)
		for (unsigned int j = 0; j < i; j++)
			if (config->upstreams[i].name && config->upstreams[j].name &&
			    !strcmp(config->upstreams[i].name, config->upstreams[j].name))
				check_say(check, REPORT_ERROR,
					  check_path(path, "upstreams[%u].name", i),
					  "upstreams[%u] has the name '%s' too; choose another", j,
					  config->upstreams[i].name);
}

static void check_route_names(struct check *check)
{
	const struct config *config = check->config;
	char path[CHECK_PATH];

	for (unsigned int i = 1; i < config->route_count; i++)
		for (unsigned int j = 0; j < i; j++)
			if (!strcmp(config->routes[i].name, config->routes[j].name))
				check_say(check, REPORT_ERROR,
					  check_path(path, "routes[%u].name", i),
					  "routes[%u] has the name '%s' too; choose another", j,
					  config->routes[i].name);
}

static bool is_listener(const struct config *config, const char *name)
{
	for (unsigned int i = 0; i < config->listener_count; i++)
		if (!strcmp(config->listeners[i].name, name))
			return true;
	return false;
}

static void unknown_listener(struct check *check, const char *path, const char *name)
{
	const struct config *config = check->config;
	const char **names = calloc(config->listener_count + 1, sizeof(*names));
	const char *meant = NULL;
	char shown[EXCERPT];

	for (unsigned int i = 0; names && i < config->listener_count; i++)
		names[i] = config->listeners[i].name;
	if (names)
		meant = suggest(name, names, config->listener_count);
	free(names);
	check_say(check, REPORT_ERROR, path, "no listener is called '%s'; %s%s%s",
		  excerpt(name, shown), meant ? "did you mean '" : "name one of `listeners`",
		  meant ? meant : "", meant ? "'?" : "");
}

static void check_listener_references(struct check *check)
{
	const struct config *config = check->config;
	char path[CHECK_PATH];

	for (unsigned int i = 0; i < config->route_count; i++) {
		const struct string_list *names = &config->routes[i].match.listeners;

		for (unsigned int j = 0; j < names->count; j++)
			if (!is_listener(config, names->items[j]))
				unknown_listener(
					check,
					check_path(path, "routes[%u].match.listener[%u]", i, j),
					names->items[j]);
	}
}

void check_names(struct check *check)
{
	check_listeners(check);
	check_upstream_names(check);
	check_route_names(check);
	check_listener_references(check);
}

/* ---- Sense -------------------------------------------------------------------------------- */

static void check_access(struct check *check, unsigned int index)
{
	const struct config_listener *listener = &check->config->listeners[index];
	static const struct cidr everybody = {{0}, 0};
	static const struct cidr_list all = {(struct cidr *)&everybody, 1};
	const struct cidr_list *allow = listener->allow.count ? &listener->allow : &all;
	char path[CHECK_PATH];

	for (unsigned int i = 0; i < allow->count; i++) {
		bool denied = false;

		for (unsigned int j = 0; j < listener->deny.count && !denied; j++)
			denied = cidr_holds(&listener->deny.items[j], &allow->items[i]);
		if (!denied)
			return;
	}
	check_say(check, REPORT_WARNING, check_path(path, "listeners[%u].deny", index),
		  "it denies all that `allow` allows: nobody is let in; take some out");
}

static void check_limits(struct check *check, unsigned int index)
{
	const struct config_limits *limits = &check->config->listeners[index].limits;
	char path[CHECK_PATH];

	if (limits->rate_burst && !limits->rate_per_source)
		check_say(check, REPORT_WARNING,
			  check_path(path, "listeners[%u].limits.rate_burst", index),
			  "it means nothing without rate_per_source; set that too");
}

static void check_proxy_header(struct check *check, unsigned int index)
{
	static const struct cidr all[] = {{{0}, 0}, {{[10] = 0xff, [11] = 0xff}, 96}};
	const struct cidr_list *from = &check->config->listeners[index].proxy_header.from;
	char path[CHECK_PATH];

	for (unsigned int i = 0; i < from->count; i++)
		if (cidr_holds(&from->items[i], &all[0]) || cidr_holds(&from->items[i], &all[1]))
			check_say(check, REPORT_WARNING,
				  check_path(path, "listeners[%u].proxy_protocol.from", index),
				  "anybody may say who the client is; name the proxies that do");
}

static void check_endpoint(struct check *check, unsigned int upstream, unsigned int index)
{
	const struct config_upstream *of = &check->config->upstreams[upstream];
	const struct config_endpoint *endpoint = &of->endpoints[index];
	char path[CHECK_PATH];

	check_path(path, "upstreams[%u].endpoints[%u]", upstream, index);
	for (unsigned int i = 0; i < index; i++) {
		const struct config_endpoint *other = &of->endpoints[i];

		if (endpoint->kind != other->kind)
			continue;
		if (endpoint->kind == ENDPOINT_ADDRESS
			    ? address_equal(&endpoint->address, &other->address)
			    : !strcasecmp(endpoint->text, other->text))
			check_say(check, REPORT_ERROR, path,
				  "endpoints[%u] is the same; leave one out, or give one of them "
				  "more weight",
				  i);
	}
	if (of->tcp.source.address.length && endpoint->kind == ENDPOINT_ADDRESS &&
	    endpoint->address.any.sa_family != of->tcp.source.address.any.sa_family)
		check_say(check, REPORT_ERROR, path,
			  "it is %s, but tcp.source is not: no connect can succeed; take a source "
			  "of the same family",
			  endpoint->address.any.sa_family == AF_INET ? "IPv4" : "IPv6");
}

static void check_upstream(struct check *check, unsigned int index)
{
	const struct config_upstream *upstream = &check->config->upstreams[index];
	bool all_backup = true, all_idle = true;
	char path[CHECK_PATH];

	for (unsigned int i = 0; i < upstream->endpoint_count; i++) {
		check_endpoint(check, index, i);
		all_backup = all_backup && upstream->endpoints[i].backup;
		all_idle = all_idle && !upstream->endpoints[i].weight;
	}
	check_path(path, "upstreams[%u].endpoints", index);
	if (all_idle)
		check_say(check, REPORT_WARNING, path,
			  "every weight is 0: no flow is taken; give one of them more");
	else if (all_backup)
		check_say(check, REPORT_WARNING, path,
			  "every endpoint is a backup, which is as if none was; leave `backup` out "
			  "of one");
	if (upstream->ejection.time > upstream->ejection.time_max)
		check_say(check, REPORT_ERROR,
			  check_path(path, "upstreams[%u].ejection.time", index),
			  "it is longer than time_max; make it shorter, or time_max longer");
}

static void check_acceleration(struct check *check)
{
	const char *key = config_acceleration_excess(&check->config->acceleration);
	char path[CHECK_PATH];

	if (key)
		check_say(check, REPORT_ERROR, check_path(path, "acceleration.%s", key),
			  "it has more than %d members; take wider ones", SL_FILTER_MAX);
}

void check_sense(struct check *check)
{
	check_acceleration(check);
	for (unsigned int i = 0; i < check->config->listener_count; i++) {
		check_access(check, i);
		check_limits(check, i);
		check_proxy_header(check, i);
		check_intercept(check, i);
	}
	for (unsigned int i = 0; i < check->config->upstream_count; i++)
		check_upstream(check, i);
	check_routes(check);
}
