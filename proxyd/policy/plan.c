// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static struct upstream *known_upstream(const struct plan *previous, const char *name)
{
	for (unsigned int i = 0; previous && i < previous->config->upstream_count; i++)
		if (!strcmp(previous->config->upstreams[i].name, name))
			return upstream_ref(previous->upstreams[i]);
	return NULL;
}

static struct limit *known_limit(const struct plan *previous, const char *name)
{
	for (unsigned int i = 0; previous && i < previous->config->listener_count; i++)
		if (!strcmp(previous->config->listeners[i].name, name))
			return limit_ref(previous->limits[i]);
	return NULL;
}

static struct bandwidth *known_bandwidth(const struct plan *previous, const char *name)
{
	for (unsigned int i = 0; previous && i < previous->config->listener_count; i++)
		if (!strcmp(previous->config->listeners[i].name, name))
			return bandwidth_ref(previous->bandwidths[i]);
	return NULL;
}

static int add_upstreams(struct plan *plan, const struct plan *previous, uint64_t now_ms)
{
	const struct config *config = plan->config;
	int err = 0;

	for (unsigned int i = 0; !err && i < config->upstream_count; i++) {
		const struct config_upstream *upstream = &config->upstreams[i];

		plan->upstreams[i] = known_upstream(previous, upstream->name);
		err = plan->upstreams[i] ? upstream_draft_new(plan->upstreams[i], upstream,
							      &plan->next_upstreams[i])
					 : upstream_new(upstream, now_ms, &plan->upstreams[i]);
	}
	return err;
}

static int add_limits(struct plan *plan, const struct plan *previous)
{
	const struct config *config = plan->config;
	int err = 0;

	for (unsigned int i = 0; !err && i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		plan->limits[i] = known_limit(previous, listener->name);
		err = plan->limits[i] ? limit_rules_new(listener, &plan->next_limits[i])
				      : limit_new(listener, &plan->limits[i]);
	}
	return err;
}

static int add_bandwidths(struct plan *plan, const struct plan *previous)
{
	const struct config *config = plan->config;
	int err = 0;

	for (unsigned int i = 0; !err && i < config->listener_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		plan->bandwidths[i] = known_bandwidth(previous, listener->name);
		if (!plan->bandwidths[i])
			err = bandwidth_new(listener->limits.bandwidth, &plan->bandwidths[i]);
	}
	return err;
}

/* Port 0 goes on with the port that it was given. */
static bool same_place(const struct config_listener *old, const struct config_listener *listener)
{
	return address_equal(&old->address, &listener->address) ||
	       (!listener->address.ipv4.sin_port && !strcmp(old->name, listener->name));
}

static bool is_same_way(const struct config_intercept *one, const struct config_intercept *other)
{
	return one->mode == other->mode && one->on_exit == other->on_exit &&
	       one->rules == other->rules && one->traffic == other->traffic &&
	       !strcmp(one->cgroup ? one->cgroup : "", other->cgroup ? other->cgroup : "");
}

/* Whose rules have the name that those of the listener will have: there can be one of a name. */
static struct interception *table_holder(const struct plan *previous,
					 const struct config_listener *listener)
{
	for (unsigned int i = 0; previous && i < previous->config->listener_count; i++)
		if (interception_has_table(previous->interceptions[i], listener))
			return previous->interceptions[i];
	for (unsigned int i = 0; previous && i < previous->retired_count; i++)
		if (interception_has_table(previous->retired[i], listener))
			return previous->retired[i];
	return NULL;
}

/* Whether a listener of the plan goes on with it, by its address. */
static bool is_kept(const struct plan *plan, const struct plan *previous,
		    const struct interception *interception)
{
	for (unsigned int i = 0; i < previous->config->listener_count; i++)
		for (unsigned int j = 0; j < plan->config->listener_count; j++)
			if (previous->interceptions[i] == interception &&
			    same_place(&previous->config->listeners[i],
				       &plan->config->listeners[j]))
				return true;
	return false;
}

/* At another address, or after it was away. */
static int take_table(struct plan *plan, const struct plan *previous, unsigned int index,
		      struct interception *holder)
{
	const struct config_listener *listener = &plan->config->listeners[index];

	if (interception_resumes(holder, listener) && !is_kept(plan, previous, holder)) {
		plan->interceptions[index] = interception_ref(holder);
		return 0;
	}
	log_error("listener %s: `intercept` of another `mode`, `on_exit` or `rules` still has "
		  "rules under this name and port; restart proxyd, or give the listener another "
		  "name",
		  listener->name);
	return -EINVAL;
}

/* A listening socket is made known to it once, so it goes by the address. */
static int take_interception(struct plan *plan, const struct plan *previous, unsigned int index)
{
	const struct config_listener *listener = &plan->config->listeners[index], *old;
	const struct config_intercept *intercept = &listener->intercept;
	struct interception *holder = table_holder(previous, listener);
	int err = 0;

	for (unsigned int i = 0; previous && i < previous->config->listener_count; i++) {
		old = &previous->config->listeners[i];
		if (!same_place(old, listener))
			continue;
		if (intercept->mode && is_same_way(intercept, &old->intercept))
			plan->interceptions[index] = interception_ref(previous->interceptions[i]);
		else if (intercept->mode)
			err = -EINVAL;
		if (err)
			log_error("listener %s: `mode`, `on_exit`, `rules`, `traffic` and `cgroup` "
				  "of `intercept` are taken at the start; restart proxyd, or give "
				  "the listener another address",
				  listener->name);
		return err;
	}
	if (holder)
		return take_table(plan, previous, index, holder);
	for (unsigned int i = 0; previous && i < previous->retired_count; i++)
		if (interception_resumes(previous->retired[i], listener)) {
			plan->interceptions[index] = interception_ref(previous->retired[i]);
			return 0;
		}
	return intercept->mode ? interception_new(listener, plan->config->cgroup, plan->claims,
						  &plan->interceptions[index])
			       : 0;
}

static int add_interceptions(struct plan *plan, const struct plan *previous)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < plan->config->listener_count; i++)
		err = take_interception(plan, previous, i);
	return err;
}

static bool needs_destination(const struct config *config)
{
	for (unsigned int i = 0; i < config->upstream_count; i++)
		if (config->upstreams[i].proxy_protocol != PROXY_NONE)
			return true;
	for (unsigned int i = 0; i < config->route_count; i++) {
		const struct config_route *route = &config->routes[i];

		if (route->action == ROUTE_ORIGINAL || route->match.destinations.count ||
		    route->match.ports.count)
			return true;
	}
	return false;
}

/* One more than needed, so that none is no error. */
static int make_room(struct plan *plan, const struct plan *previous)
{
	const struct config *config = plan->config;
	unsigned int left =
		previous ? previous->config->listener_count + previous->retired_count : 0;

	plan->upstreams = calloc(config->upstream_count + 1, sizeof(struct upstream *));
	plan->next_upstreams = calloc(config->upstream_count + 1, sizeof(struct upstream_draft *));
	plan->limits = calloc(config->listener_count + 1, sizeof(struct limit *));
	plan->next_limits = calloc(config->listener_count + 1, sizeof(struct limit_rules *));
	plan->bandwidths = calloc(config->listener_count + 1, sizeof(struct bandwidth *));
	plan->interceptions = calloc(config->listener_count + 1, sizeof(struct interception *));
	plan->retired = calloc(left + 1, sizeof(struct interception *));
	return plan->upstreams && plan->next_upstreams && plan->limits && plan->next_limits &&
			       plan->bandwidths && plan->interceptions && plan->retired
		       ? 0
		       : -ENOMEM;
}

int plan_new(struct config *config, const struct plan *previous, uint64_t now_ms, struct plan **out)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	int err = -ENOMEM;

	if (!plan) {
		config_free(config);
		return err;
	}
	atomic_init(&plan->references, 1);
	plan->config = config;
	plan->needs_destination = needs_destination(config);
	err = make_room(plan, previous);
	if (!err)
		err = add_upstreams(plan, previous, now_ms);
	if (!err)
		err = add_limits(plan, previous);
	if (!err)
		err = add_bandwidths(plan, previous);
	if (previous)
		plan->claims = claims_ref(previous->claims);
	else
		claims_new(&plan->claims); /* who misses it says so */
	if (!err)
		err = add_interceptions(plan, previous);
	if (!err) {
		*out = plan;
		return 0;
	}
	plan_unref(plan);
	return err;
}

/* What may be refused comes first: what other plans share must not follow one that is dropped. */
int plan_commit(struct plan *plan, uint64_t now_ms)
{
	const struct config *config = plan->config;
	int err = plan_intercept(plan);

	if (err)
		return err;
	for (unsigned int i = 0; i < config->upstream_count; i++) {
		if (plan->next_upstreams[i])
			upstream_follow(plan->upstreams[i], plan->next_upstreams[i], now_ms);
		plan->next_upstreams[i] = NULL;
	}
	for (unsigned int i = 0; i < config->listener_count; i++) {
		if (plan->next_limits[i])
			limit_follow(plan->limits[i], plan->next_limits[i]);
		plan->next_limits[i] = NULL;
		bandwidth_set_rate(plan->bandwidths[i], config->listeners[i].limits.bandwidth);
	}
	return 0;
}

int plan_intercept(struct plan *plan)
{
	int err = 0;

	for (unsigned int i = 0; i < plan->config->listener_count; i++) {
		int result = 0;

		if (plan->interceptions[i])
			result = interception_follow(plan->interceptions[i],
						     &plan->config->listeners[i]);
		err = err ? err : result;
	}
	return err;
}

static bool intercepts(const struct plan *plan, const struct interception *interception)
{
	for (unsigned int i = 0; i < plan->config->listener_count; i++)
		if (plan->interceptions[i] == interception)
			return true;
	return false;
}

/* What nobody else needs any more is left behind. */
static void retire(struct plan *plan, struct plan *next)
{
	for (unsigned int i = 0; i < plan->retired_count; i++)
		if (!intercepts(next, plan->retired[i]) && interception_is_needed(plan->retired[i]))
			next->retired[next->retired_count++] = interception_ref(plan->retired[i]);
	for (unsigned int i = 0; i < plan->config->listener_count; i++)
		if (plan->interceptions[i] && !intercepts(next, plan->interceptions[i]))
			next->retired[next->retired_count++] =
				interception_ref(plan->interceptions[i]);
}

void plan_release(struct plan *plan, struct plan *next)
{
	for (unsigned int i = 0; i < plan->config->listener_count; i++)
		if (!next || !intercepts(next, plan->interceptions[i]))
			interception_end(plan->interceptions[i], &plan->config->listeners[i],
					 next != NULL);
	if (next)
		retire(plan, next);
	else
		for (unsigned int i = 0; i < plan->retired_count; i++)
			interception_end(plan->retired[i], NULL, false);
}

void plan_forget(struct plan *plan)
{
	while (plan->retired_count)
		interception_unref(plan->retired[--plan->retired_count]);
}

void plan_abandon(struct plan *plan, struct plan *current)
{
	for (unsigned int i = 0; plan->interceptions && i < plan->config->listener_count; i++)
		if (!intercepts(current, plan->interceptions[i]))
			interception_end(plan->interceptions[i], &plan->config->listeners[i], true);
	plan_intercept(current);
}

struct plan *plan_ref(struct plan *plan)
{
	atomic_fetch_add_explicit(&plan->references, 1, memory_order_relaxed);
	return plan;
}

void plan_unref(struct plan *plan)
{
	if (!plan || atomic_fetch_sub_explicit(&plan->references, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned int i = 0; plan->upstreams && i < plan->config->upstream_count; i++)
		upstream_unref(plan->upstreams[i]);
	for (unsigned int i = 0; plan->next_upstreams && i < plan->config->upstream_count; i++)
		upstream_draft_free(plan->next_upstreams[i]);
	for (unsigned int i = 0; plan->limits && i < plan->config->listener_count; i++)
		limit_unref(plan->limits[i]);
	for (unsigned int i = 0; plan->next_limits && i < plan->config->listener_count; i++)
		limit_rules_free(plan->next_limits[i]);
	for (unsigned int i = 0; plan->bandwidths && i < plan->config->listener_count; i++)
		bandwidth_unref(plan->bandwidths[i]);
	free(plan->upstreams);
	free(plan->next_upstreams);
	free(plan->limits);
	free(plan->next_limits);
	for (unsigned int i = 0; plan->interceptions && i < plan->config->listener_count; i++)
		interception_unref(plan->interceptions[i]);
	plan_forget(plan);
	claims_unref(plan->claims);
	free(plan->bandwidths);
	free(plan->interceptions);
	free(plan->retired);
	config_free(plan->config);
	free(plan);
}
