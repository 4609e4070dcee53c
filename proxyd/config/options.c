// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the options of `proxyd run` stand for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/check.h"
#include "config/load.h"
#include "config/schema.h"
#include "config/settings.h"
#include "log.h"

#define RETRIES_AT_ONCE_MAX 1000000 /* more than there can be */

/* Structs in a list of the config, with their defaults. */
static void *new_list(const char *key, unsigned int count)
{
	const struct schema_object *object = schema_find(&schema_config, key)->object;
	char *list = calloc(count ? count : 1, object->size);

	for (unsigned int i = 0; list && i < count; i++) {
		if (!schema_fill(object, list + i * object->size))
			continue;
		for (unsigned int j = 0; j <= i; j++)
			schema_clear(object, list + j * object->size);
		free(list);
		return NULL;
	}
	return list;
}

static int add_listeners(struct config *config, const struct address_list *listen)
{
	config->listeners = new_list("listeners", listen->count);
	if (!config->listeners)
		return -ENOMEM;
	config->listener_count = listen->count;
	for (unsigned int i = 0; i < listen->count; i++)
		config->listeners[i].address = listen->items[i];
	return 0;
}

static int add_endpoints(struct config_upstream *upstream, const struct address_list *to)
{
	char text[ADDRESS_TEXT];

	upstream->endpoints = calloc(to->count ? to->count : 1, sizeof(*upstream->endpoints));
	if (!upstream->endpoints)
		return -ENOMEM;
	upstream->endpoint_count = to->count;
	for (unsigned int i = 0; i < to->count; i++) {
		struct config_endpoint *endpoint = &upstream->endpoints[i];

		endpoint->address = to->items[i];
		endpoint->weight = 1;
		endpoint->text = strdup(address_format(&to->items[i], text));
		if (!endpoint->text)
			return -ENOMEM;
	}
	return 0;
}

/* All are tried in turn, however often they have failed. */
static int add_upstream(struct config *config, const struct settings *settings)
{
	struct config_upstream *upstream = new_list("upstreams", 1);

	if (!upstream)
		return -ENOMEM;
	config->upstreams = upstream;
	config->upstream_count = 1;
	upstream->retries = settings->upstream.count ? settings->upstream.count - 1 : 0;
	upstream->retry_budget = 100;
	upstream->retry_budget_min = RETRIES_AT_ONCE_MAX;
	upstream->ejection.failures = 0;
	upstream->connect_timeout = settings->connect_timeout;
	upstream->idle_timeout = settings->idle_timeout;
	upstream->name = strdup("upstream");
	return upstream->name ? add_endpoints(upstream, &settings->upstream) : -ENOMEM;
}

static int add_route(struct config *config)
{
	config->routes = new_list("routes", 1);
	if (!config->routes)
		return -ENOMEM;
	config->route_count = 1;
	config->routes->upstream = 0;
	return 0;
}

static int from_options(const struct settings *settings, struct config **out)
{
	struct config *config = calloc(1, sizeof(*config));
	int err = config ? schema_fill(&schema_config, config) : -ENOMEM;

	if (!err)
		err = settings_apply(settings, SETTINGS_ALL, config);
	if (!err)
		err = add_listeners(config, &settings->listen);
	if (!err)
		err = add_upstream(config, settings);
	if (!err)
		err = add_route(config);
	if (!err)
		err = config_complete(config);
	if (err)
		config_free(config);
	else
		*out = config;
	return err;
}

static int from_file(const struct settings *settings, struct config **out)
{
	struct config_report report = {0};
	struct config *config = NULL;
	int err = config_load(settings->config_path, &config, &report);

	report_log(&report);
	report_clear(&report);
	if (!err)
		err = settings_apply(settings, settings->given, config);
	if (err)
		config_free(config);
	else
		*out = config;
	return err;
}

int config_from_settings(const struct settings *settings, struct config **out)
{
	int err = settings->config_path ? from_file(settings, out) : from_options(settings, out);

	if (err == -ENOMEM)
		log_error("out of memory");
	return err;
}
