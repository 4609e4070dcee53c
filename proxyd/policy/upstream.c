// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/upstream.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "policy/balance.h"
#include "policy/members.h"
#include "policy/news.h"
#include "policy/retry_budget.h"
#include "policy/roster.h"
#include "policy/table.h"

struct upstream {
	atomic_uint refs;
	char *name;
	pthread_mutex_t lock; /* of all that follows, and of the endpoints */
	enum balance balance;
	struct config_ejection ejection;
	uint32_t retry_percent;
	uint32_t retry_least;
	struct roster_rules rules;
	struct entries entries;
	struct members members;
	struct roster roster;
	struct table table; /* for BALANCE_MAGLEV */
	struct retry_budget retries;
	struct news news;
	uint64_t commands; /* drains and weights, ever */
};

/* What a new config asks for, made while the one before holds. */
struct upstream_draft {
	const struct config_upstream *config;
	struct entries entries;
	struct members_plan members;
};

static const char *const balance_names[] = {
	[BALANCE_ROUND_ROBIN] = "round_robin", [BALANCE_LEAST_CONNECTIONS] = "least_connections",
	[BALANCE_RANDOM_TWO] = "random_two",   [BALANCE_SOURCE_HASH] = "source_hash",
	[BALANCE_MAGLEV] = "maglev",
};

static const char *const serving_names[] = {
	[SERVING_NOTHING_YET] = "nothing_yet",
	[SERVING_PRIMARIES] = "primaries",
	[SERVING_BACKUPS] = "backups",
	[SERVING_PANIC] = "panic",
	[SERVING_NONE] = "none",
};

static void lock(struct upstream *upstream)
{
	pthread_mutex_lock(&upstream->lock);
}

static void unlock(struct upstream *upstream)
{
	struct news news = STAILQ_HEAD_INITIALIZER(news);

	STAILQ_CONCAT(&news, &upstream->news);
	pthread_mutex_unlock(&upstream->lock);
	news_publish(&news);
}

/*
 * Bring up to date who serves. A Maglev table is built without the lock; meanwhile other threads
 * pick by the one before.
 */
static void refresh(struct upstream *upstream, uint64_t now_ms)
{
	struct table_draft draft;

	roster_refresh(&upstream->roster, &upstream->members, &upstream->rules, now_ms,
		       &upstream->news);
	if (upstream->balance != BALANCE_MAGLEV ||
	    !table_draft(&upstream->table, &upstream->roster, &draft))
		return;
	unlock(upstream);
	table_build(&draft);
	lock(upstream);
	table_take(&upstream->table, &draft);
	unlock(upstream);
	table_draft_free(&draft);
	lock(upstream);
	roster_refresh(&upstream->roster, &upstream->members, &upstream->rules, now_ms,
		       &upstream->news);
}

/* What take_members() needs for the members to be those of `entries`. 0 or -ENOMEM. */
static int plan_members(struct upstream *upstream, const struct entries *entries,
			struct members_plan *out)
{
	int err = members_plan(upstream, &upstream->members, entries, out);

	if (err)
		return err;
	err = roster_reserve(&upstream->roster, out->room);
	if (err)
		members_plan_free(out);
	return err;
}

/* The entries that the plan was made of are the upstream's own by now. */
static void take_members(struct upstream *upstream, struct members_plan *plan)
{
	members_commit(&upstream->members, plan, !upstream->members.count);
	upstream->roster.stale = true;
}

static void configure(struct upstream *upstream, struct upstream_draft *draft, uint64_t now_ms)
{
	const struct config_upstream *config = draft->config;
	struct entries before = upstream->entries;

	upstream->entries = draft->entries;
	draft->entries = before;
	take_members(upstream, &draft->members);
	upstream->balance = config->balance;
	upstream->ejection = config->ejection;
	upstream->retry_percent = config->retry_budget;
	upstream->retry_least = config->retry_budget_min;
	upstream->rules.slow_start = config->slow_start;
	upstream->rules.panic_percent = config->ejection.panic_percent;
	for (unsigned int i = 0; i < upstream->members.count; i++) {
		struct endpoint *endpoint = upstream->members.items[i];

		/* Nobody would bring them back. */
		if (config->health.kind == HEALTH_NONE)
			endpoint->down = false;
		ejection_follow(&endpoint->ejection, &config->ejection, now_ms);
	}
}

int upstream_draft_new(struct upstream *upstream, const struct config_upstream *config,
		       struct upstream_draft **out)
{
	struct upstream_draft *draft = calloc(1, sizeof(*draft));
	int err;

	if (!draft)
		return -ENOMEM;
	draft->config = config;
	lock(upstream);
	err = entries_new(config, &upstream->entries, &draft->entries);
	if (!err)
		err = plan_members(upstream, &draft->entries, &draft->members);
	unlock(upstream);
	if (err)
		upstream_draft_free(draft);
	else
		*out = draft;
	return err;
}

void upstream_draft_free(struct upstream_draft *draft)
{
	if (!draft)
		return;
	members_plan_free(&draft->members);
	entries_free(&draft->entries);
	free(draft);
}

void upstream_follow(struct upstream *upstream, struct upstream_draft *draft, uint64_t now_ms)
{
	lock(upstream);
	configure(upstream, draft, now_ms);
	refresh(upstream, now_ms);
	unlock(upstream);
	upstream_draft_free(draft);
}

static void destroy(struct upstream *upstream)
{
	table_draft_free(&upstream->table.now);
	members_free(&upstream->members);
	roster_free(&upstream->roster);
	entries_free(&upstream->entries);
	news_publish(&upstream->news);
	pthread_mutex_destroy(&upstream->lock);
	free(upstream->name);
	free(upstream);
}

int upstream_new(const struct config_upstream *config, uint64_t now_ms, struct upstream **out)
{
	struct upstream *upstream = calloc(1, sizeof(*upstream));
	struct upstream_draft *draft;
	int err;

	if (!upstream)
		return -ENOMEM;
	atomic_init(&upstream->refs, 1);
	pthread_mutex_init(&upstream->lock, NULL);
	STAILQ_INIT(&upstream->news);
	upstream->name = strdup(config->name);
	upstream->rules.upstream = upstream->name;
	err = upstream->name ? upstream_draft_new(upstream, config, &draft) : -ENOMEM;
	if (err) {
		destroy(upstream);
		return err;
	}
	upstream_follow(upstream, draft, now_ms);
	*out = upstream;
	return 0;
}

struct upstream *upstream_ref(struct upstream *upstream)
{
	atomic_fetch_add_explicit(&upstream->refs, 1, memory_order_relaxed);
	return upstream;
}

void upstream_unref(struct upstream *upstream)
{
	if (upstream && atomic_fetch_sub_explicit(&upstream->refs, 1, memory_order_acq_rel) == 1)
		destroy(upstream);
}

const char *upstream_name(const struct upstream *upstream)
{
	return upstream->name;
}

/* How many of a tier the flow has not tried. */
static unsigned int untried(const struct tier *tier, const struct upstream_request *request)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < tier->count; i++)
		count += !balance_was_tried(request, tier->endpoints[i]);
	return count;
}

static int why_none(const struct upstream *upstream, const struct upstream_request *request)
{
	if (untried(&upstream->roster.serving, request) ||
	    untried(&upstream->roster.reserve, request))
		return -EBUSY;
	for (unsigned int i = 0; !upstream->roster.serving.count && i < upstream->entries.count;
	     i++)
		if (!upstream->entries.items[i].resolved)
			return -EAGAIN;
	return -EHOSTUNREACH;
}

int upstream_pick(struct upstream *upstream, const struct upstream_request *request,
		  struct endpoint **out)
{
	const struct roster *roster = &upstream->roster;
	struct endpoint *endpoint;
	int err = 0;

	lock(upstream);
	refresh(upstream, request->now_ms);
	endpoint = balance_pick(upstream->balance, &roster->serving, upstream->table.now.maglev,
				request);
	if (!endpoint && !untried(&roster->serving, request))
		endpoint = balance_pick(upstream->balance, &roster->reserve, NULL, request);
	if (endpoint) {
		/* One that waits asks many times, and connects once. */
		if (!request->tried_count)
			retry_budget_connect(&upstream->retries, request->now_ms);
		endpoint->flows++;
		endpoint->picks++;
		*out = endpoint_ref(endpoint);
	} else {
		err = why_none(upstream, request);
	}
	unlock(upstream);
	return err;
}

bool upstream_may_retry(struct upstream *upstream, uint64_t now_ms)
{
	bool may;

	lock(upstream);
	may = retry_budget_take(&upstream->retries, upstream->retry_percent, upstream->retry_least,
				now_ms);
	unlock(upstream);
	return may;
}

static void eject(struct upstream *upstream, struct endpoint *endpoint, const char *what,
		  uint32_t failures, uint64_t now_ms)
{
	uint64_t duration = ejection_begin(&endpoint->ejection, &upstream->ejection, now_ms);

	news_add(&upstream->news, LOG_LEVEL_WARNING,
		 "upstream %s: %s is ejected for %g s after %u %s in a row", upstream->name,
		 endpoint->name, (double)duration / 1000, failures, what);
	upstream->roster.stale = true;
	refresh(upstream, now_ms);
}

void endpoint_report(struct endpoint *endpoint, enum endpoint_event event, uint64_t now_ms)
{
	struct upstream *upstream = endpoint->upstream;
	struct ejection *ejection = &endpoint->ejection;

	lock(upstream);
	endpoint->connects_failed += event == ENDPOINT_CONNECT_FAILED;
	endpoint->resets_early += event == ENDPOINT_RESET_EARLY;
	if (ejection_saw(ejection, &upstream->ejection, event, now_ms) &&
	    roster_may_lose(&upstream->members, &upstream->rules, endpoint)) {
		if (event == ENDPOINT_CONNECT_FAILED)
			eject(upstream, endpoint, "failed connects", ejection->connect_failures,
			      now_ms);
		else
			eject(upstream, endpoint, "early resets", ejection->resets, now_ms);
	}
	unlock(upstream);
}

bool endpoint_release(struct endpoint *endpoint)
{
	struct upstream *upstream = endpoint->upstream;
	bool was_full;

	lock(upstream);
	was_full = !endpoint_has_room(endpoint);
	endpoint->flows--;
	was_full &= endpoint_is_wanted(endpoint) && endpoint_has_room(endpoint);
	if (endpoint->member && !endpoint->entry && !endpoint->flows)
		members_remove(&upstream->members, endpoint);
	unlock(upstream);
	endpoint_unref(endpoint);
	return was_full;
}

void endpoint_set_health(struct endpoint *endpoint, bool up, const char *reason, uint64_t now_ms)
{
	struct upstream *upstream = endpoint->upstream;

	lock(upstream);
	snprintf(endpoint->reason, sizeof(endpoint->reason), "%s", reason ? reason : "");
	if (endpoint->down == up) {
		endpoint->down = !up;
		/* Checks that it has passed say more than flows of some time ago. */
		if (up)
			ejection_clear(&endpoint->ejection, now_ms);
		upstream->roster.stale = true;
		refresh(upstream, now_ms);
	}
	unlock(upstream);
}

unsigned int upstream_endpoints(struct upstream *upstream, struct endpoint **endpoints,
				unsigned int room)
{
	unsigned int count = 0;

	lock(upstream);
	for (unsigned int i = 0; i < upstream->members.count && count < room; i++)
		if (upstream->members.items[i]->entry)
			endpoints[count++] = endpoint_ref(upstream->members.items[i]);
	unlock(upstream);
	return count;
}

int upstream_entry(struct upstream *upstream, const char *text, unsigned int index)
{
	const struct entries *entries = &upstream->entries;
	int found = -ENOENT;

	lock(upstream);
	if (index < entries->count && !strcmp(entries->items[index].text, text))
		found = (int)index;
	for (unsigned int i = 0; found < 0 && i < entries->count; i++)
		if (!strcmp(entries->items[i].text, text))
			found = (int)i;
	unlock(upstream);
	return found;
}

int upstream_resolved(struct upstream *upstream, unsigned int index,
		      const struct resolved *addresses, unsigned int count, uint64_t now_ms)
{
	struct entry *entry, before;
	struct members_plan plan;
	int err = -EINVAL;

	lock(upstream);
	if (index < upstream->entries.count &&
	    upstream->entries.items[index].kind != ENDPOINT_ADDRESS) {
		entry = &upstream->entries.items[index];
		before = *entry;
		entry->addresses = NULL;
		err = entry_resolve(entry, addresses, count);
		if (!err)
			err = plan_members(upstream, &upstream->entries, &plan);
		if (!err)
			take_members(upstream, &plan);
		free(err ? entry->addresses : before.addresses);
		if (err)
			*entry = before;
	}
	refresh(upstream, now_ms);
	unlock(upstream);
	return err;
}

static bool is_called(const struct endpoint *endpoint, const char *name)
{
	return endpoint->entry &&
	       (!strcmp(endpoint->name, name) || !strcmp(endpoint->entry->text, name));
}

/* Give a command to all that are called so. */
static int command(struct upstream *upstream, const char *endpoint, enum command_kind kind,
		   uint32_t value)
{
	struct command given = {.value = value};
	int err = -ENOENT;

	lock(upstream);
	given.nth = ++upstream->commands;
	for (unsigned int i = 0; i < upstream->entries.count; i++)
		if (!strcmp(upstream->entries.items[i].text, endpoint)) {
			upstream->entries.items[i].commands[kind] = given;
			err = 0;
		}
	for (unsigned int i = 0; i < upstream->members.count; i++)
		if (is_called(upstream->members.items[i], endpoint)) {
			upstream->members.items[i]->commands[kind] = given;
			err = 0;
		}
	upstream->roster.stale = true;
	unlock(upstream);
	return err;
}

int upstream_drain(struct upstream *upstream, const char *endpoint, bool drain)
{
	return command(upstream, endpoint, COMMAND_DRAIN, drain);
}

int upstream_set_weight(struct upstream *upstream, const char *endpoint, uint32_t weight)
{
	if (weight > ENDPOINT_WEIGHT_MAX)
		return -EINVAL;
	return command(upstream, endpoint, COMMAND_WEIGHT, weight);
}

/* Own references to all members, those that leave too. */
static int copy_members(struct upstream *upstream, struct members *out)
{
	struct members copy = {0};

	lock(upstream);
	copy.items = calloc(upstream->members.count + 1, sizeof(struct endpoint *));
	for (unsigned int i = 0; copy.items && i < upstream->members.count; i++)
		copy.items[copy.count++] = endpoint_hold(upstream->members.items[i]);
	unlock(upstream);
	if (!copy.items)
		return -ENOMEM;
	*out = copy;
	return 0;
}

json_t *upstream_json(struct upstream *upstream, uint64_t now_ms)
{
	json_t *endpoints = json_array(), *json;
	struct members members;

	lock(upstream);
	refresh(upstream, now_ms);
	json = json_pack("{s:s,s:s,s:s,s:I,s:o}", "name", upstream->name, "balance",
			 balance_names[upstream->balance], "serving",
			 serving_names[upstream->roster.state], "retries_refused",
			 (json_int_t)upstream->retries.refused, "endpoints", endpoints);
	unlock(upstream);
	if (!json || copy_members(upstream, &members))
		return json;
	/* One at a time, so that picks need not wait for a long list. */
	for (unsigned int i = 0; i < members.count; i++) {
		lock(upstream);
		json_array_append_new(endpoints, endpoint_json(members.items[i], now_ms));
		unlock(upstream);
	}
	members_free(&members);
	return json;
}
