// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "control/requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/connections.h"
#include "control/status.h"
#include "log.h"

#define NO_SUCH_TARGET "there is no such listener, nor UPSTREAM/ENDPOINT; proxyd status lists them"

static json_t *refuse(const char *what, const char *why)
{
	return json_pack("{s:o}", "error", json_sprintf("%s: %s", what, why));
}

static json_t *done(void)
{
	return json_pack("{s:b}", "done", true);
}

/* --- UPSTREAM/ENDPOINT ------------------------------------------------------------------- */

/* Returns the upstream, with its name cut off the copy of the target; NULL: there is none. */
static struct upstream *split_target(const struct requests *requests, char *target,
				     const char **endpoint)
{
	char *slash = strchr(target, '/');

	if (!slash)
		return NULL;
	*slash = '\0';
	*endpoint = slash + 1;
	return proxy_upstream(requests->proxy, target);
}

typedef int change_fn(struct upstream *upstream, const char *endpoint, json_t *request);

static int change_drain(struct upstream *upstream, const char *endpoint, json_t *request)
{
	return upstream_drain(upstream, endpoint, !json_is_true(json_object_get(request, "undo")));
}

static int change_weight(struct upstream *upstream, const char *endpoint, json_t *request)
{
	json_int_t weight = json_integer_value(json_object_get(request, "weight"));

	if (!json_is_integer(json_object_get(request, "weight")) || weight < 0 ||
	    weight > ENDPOINT_WEIGHT_MAX)
		return -ERANGE;
	return upstream_set_weight(upstream, endpoint, (uint32_t)weight);
}

static json_t *change_endpoint(const struct requests *requests, json_t *request, const char *target,
			       change_fn *change)
{
	char *copy = strdup(target);
	const char *endpoint;
	struct upstream *upstream = copy ? split_target(requests, copy, &endpoint) : NULL;
	int err = upstream ? change(upstream, endpoint, request) : -ENOENT;

	free(copy);
	if (err == -ENOENT)
		return refuse(target, NO_SUCH_TARGET);
	if (err == -ERANGE)
		return refuse(target, "the weight must be 0 to 256");
	return err ? refuse(target, strerror(-err)) : done();
}

/* --- Commands ---------------------------------------------------------------------------- */

static json_t *execute_status(const struct requests *requests, json_t *request)
{
	(void)request;
	return status_json(requests->proxy);
}

static json_t *execute_connections(const struct requests *requests, json_t *request)
{
	return connections_json(requests->proxy, request);
}

static json_t *execute_reload(const struct requests *requests, json_t *request)
{
	int err = requests->reload(requests->user);

	(void)request;
	if (err == -ENOENT)
		return refuse("reload",
			      "there is no file to read again: proxyd was started without -c");
	if (err == -EBUSY)
		return refuse("reload", "proxyd is stopping; the file is read at the next start");
	return err ? refuse("reload", "the running config stays; proxyd's log says why") : done();
}

static json_t *execute_drain(const struct requests *requests, json_t *request)
{
	const char *target = json_string_value(json_object_get(request, "target"));
	int err;

	if (!target)
		return refuse("drain", "the target is missing");
	if (strchr(target, '/'))
		return change_endpoint(requests, request, target, change_drain);
	if (json_is_true(json_object_get(request, "undo")))
		return refuse(target, "a listener is opened again by a reload");
	err = proxy_drain_listener(requests->proxy, target);
	if (err == -ENOENT)
		return refuse(target, NO_SUCH_TARGET);
	return err ? refuse(target, strerror(-err)) : done();
}

static json_t *execute_weight(const struct requests *requests, json_t *request)
{
	const char *target = json_string_value(json_object_get(request, "target"));

	if (!target)
		return refuse("weight", "the target is missing");
	return change_endpoint(requests, request, target, change_weight);
}

static const struct {
	const char *name;
	json_t *(*execute)(const struct requests *requests, json_t *request);
} commands[] = {
	{"status", execute_status}, {"connections", execute_connections},
	{"reload", execute_reload}, {"drain", execute_drain},
	{"weight", execute_weight},
};

json_t *requests_execute(const struct requests *requests, const char *line)
{
	json_t *request = json_loads(line, 0, NULL);
	const char *name = json_string_value(json_object_get(request, "command"));
	json_t *answer = NULL;

	for (size_t i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(name, commands[i].name))
			answer = commands[i].execute(requests, request);
	if (!answer)
		answer = refuse(name ? name : "(none)", "no such command");
	json_decref(request);
	return answer;
}
