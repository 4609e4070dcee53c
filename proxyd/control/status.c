// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "control/status.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "control/access_log.h"
#include "control/connections.h"
#include "direct/offers.h"
#include "direct/report.h"

static const char *const fallback_names[FALLBACK_REASONS] = {
	[FALLBACK_NO_ROOM] = "no_room",
	[FALLBACK_HALF_CLOSED] = "half_closed",
	[FALLBACK_REFUSED] = "refused",
	[FALLBACK_SMALL_WRITES] = "small_writes",
};

static const char *const loss_names[MIRROR_LOSSES] = {
	[MIRROR_UNREACHABLE] = "unreachable",
	[MIRROR_SLOW] = "slow",
	[MIRROR_RESET] = "reset",
};

/* The sum of one counter over the workers; `offset` is the counter's place in struct stats. */
static json_int_t sum(const struct proxy *proxy, size_t offset)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < proxy->shared.worker_count; i++) {
		const char *stats = (const char *)&proxy->shared.workers[i]->stats;

		total += stats_get((const counter *)(const void *)(stats + offset));
	}
	return (json_int_t)total;
}

#define SUM(field) sum(proxy, offsetof(struct stats, field))

static json_t *sums(const struct proxy *proxy, const char *const *names, size_t count,
		    size_t offset)
{
	json_t *object = json_object();

	for (size_t i = 0; i < count; i++)
		json_object_set_new(object, names[i],
				    json_integer(sum(proxy, offset + i * sizeof(counter))));
	return object;
}

static json_t *bytes_json(const struct proxy *proxy, const struct sl_totals *totals,
			  const struct offers_report *direct)
{
	uint64_t bytes[2][ACCOUNT_LANES];

	for (int d = SL_UP; d <= SL_DOWN; d++) {
		bytes[d][ACCOUNT_RELAY] = (uint64_t)SUM(relayed[d]);
		bytes[d][ACCOUNT_KERNEL] = totals->bytes[d];
		bytes[d][ACCOUNT_DIRECT] = direct->bytes[d];
	}
	return connection_bytes_json(bytes);
}

static json_t *flows_json(const struct proxy *proxy)
{
	return json_pack("{s:I,s:I,s:I,s:I}", "active", SUM(flows_active), "total",
			 SUM(flows_total), "kernel", SUM(flows_kernel), "max",
			 (json_int_t)proxy->room.flows_max);
}

static json_t *kernel_lane_json(const struct proxy *proxy)
{
	const char *reason = proxy->kernel_lane_reason;

	return json_pack("{s:b,s:s?,s:s}", "available", proxy->shared.kernel_lane != NULL, "reason",
			 *reason ? reason : NULL, "enrolment",
			 kernel_lane_enrols(proxy->shared.kernel_lane) ? "sock_ops" : "proxyd");
}

static json_t *direct_lane_json(const struct proxy *proxy, const struct offers_report *direct)
{
	return json_pack("{s:b,s:b,s:i,s:o}", "wanted", proxy->settings.direct_lane, "available",
			 proxy->shared.offers != NULL, "offered", (int)direct->flows, "sockets",
			 direct_report_sockets(direct->sockets));
}

static json_t *mirrors_json(const struct proxy *proxy)
{
	return json_pack(
		"{s:I,s:I,s:I,s:o}", "total", SUM(mirrors_total), "bytes", SUM(mirrored), "dropped",
		SUM(mirror_dropped), "lost",
		sums(proxy, loss_names, MIRROR_LOSSES, offsetof(struct stats, mirrors_lost)));
}

static json_t *config_json(const struct proxy *proxy)
{
	return json_pack("{s:s?,s:I}", "path", proxy->plan->config->path, "reloads",
			 (json_int_t)proxy->reloads);
}

static json_t *listeners_json(const struct proxy *proxy)
{
	const struct config *config = proxy->plan->config;
	json_t *listeners = json_object();
	char text[ADDRESS_TEXT];

	for (unsigned int i = 0; i < config->listener_count; i++) {
		json_t *listener = limit_json(proxy->plan->limits[i]);

		json_object_set_new(
			listener, "address",
			json_string(address_format(&config->listeners[i].address, text)));
		json_object_set_new(listener, "listening", json_boolean(proxy->listening[i]));
		json_object_set_new(listeners, config->listeners[i].name, listener);
	}
	return listeners;
}

static json_t *upstreams_json(const struct proxy *proxy)
{
	const struct config *config = proxy->plan->config;
	json_t *upstreams = json_object();

	for (unsigned int i = 0; i < config->upstream_count; i++)
		json_object_set_new(upstreams, config->upstreams[i].name,
				    upstream_json(proxy->plan->upstreams[i], worker_now_ms()));
	return upstreams;
}

json_t *status_json(const struct proxy *proxy)
{
	struct offers_report direct = {0};
	struct sl_totals totals = {0};
	json_t *status;

	if (proxy->shared.offers)
		offers_ask(proxy->shared.offers, &direct);
	if (proxy->shared.kernel_lane)
		kernel_lane_totals(proxy->shared.kernel_lane, &totals);
	status = json_pack(
		"{s:s,s:I,s:I,s:I,s:s,s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,"
		"s:o,"
		"s:o}",
		"version", PROXYD_VERSION, "pid", (json_int_t)getpid(), "uptime_seconds",
		(json_int_t)((worker_now_ms() - proxy->started_ms) / 1000), "workers",
		(json_int_t)proxy->shared.worker_count, "lane",
		lane_choice_name(proxy->settings.lane), "config", config_json(proxy), "kernel_lane",
		kernel_lane_json(proxy), "flows", flows_json(proxy), "bytes",
		bytes_json(proxy, &totals, &direct), "lane_moves", SUM(lane_moves), "gathers",
		SUM(gathers), "wakeups", SUM(wakeups), "window_stalls",
		(json_int_t)totals.window_stalls, "enrolled", (json_int_t)totals.enrolled,
		"not_enrolled", (json_int_t)totals.not_enrolled, "no_peer",
		(json_int_t)totals.no_peer, "events_lost", (json_int_t)totals.events_lost,
		"fallbacks",
		sums(proxy, fallback_names, FALLBACK_REASONS, offsetof(struct stats, fallbacks)),
		"errors", sums(proxy, error_names, ERROR_KINDS, offsetof(struct stats, errors)),
		"listeners", listeners_json(proxy), "upstreams", upstreams_json(proxy), "mirrors",
		mirrors_json(proxy));
	json_object_set_new(status, "direct_lane", direct_lane_json(proxy, &direct));
	json_object_set_new(status, "access_log", access_log_json(proxy->shared.access_log));
	return status;
}

static void print_value(const char *name, json_t *value);

static void print_level(const json_t *object, const char *prefix)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		char name[192];

		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", key);
		print_value(name, value);
	}
}

/* What is in a list goes by its address, where it has one. */
static void print_list(const char *name, const json_t *list)
{
	json_t *value;
	size_t i;

	json_array_foreach(list, i, value)
	{
		const char *address = json_string_value(json_object_get(value, "address"));
		char item[192];

		if (address)
			snprintf(item, sizeof(item), "%s.%s", name, address);
		else
			snprintf(item, sizeof(item), "%s.%zu", name, i);
		print_value(item, value);
	}
}

static void print_value(const char *name, json_t *value)
{
	if (json_is_object(value))
		print_level(value, name);
	else if (json_is_array(value))
		print_list(name, value);
	else if (json_is_string(value))
		printf("%-28s %s\n", name, json_string_value(value));
	else if (json_is_integer(value))
		printf("%-28s %lld\n", name, (long long)json_integer_value(value));
	else if (json_is_boolean(value))
		printf("%-28s %s\n", name, json_is_true(value) ? "yes" : "no");
}

void status_print(const json_t *status)
{
	print_level(status, "");
}
