// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "control/status.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const fallback_names[FALLBACK_REASONS] = {
	[FALLBACK_NO_ROOM] = "no_room",
	[FALLBACK_HALF_CLOSED] = "half_closed",
	[FALLBACK_REFUSED] = "refused",
	[FALLBACK_SMALL_WRITES] = "small_writes",
};

static const char *const error_names[ERROR_KINDS] = {
	[ERROR_CONNECT_REFUSED] = "connect_refused",
	[ERROR_CONNECT_TIMEOUT] = "connect_timeout",
	[ERROR_CONNECT_OTHER] = "connect_other",
	[ERROR_RESET_DOWNSTREAM] = "reset_downstream",
	[ERROR_RESET_UPSTREAM] = "reset_upstream",
	[ERROR_IDLE_TIMEOUT] = "idle_timeout",
	[ERROR_DRAIN_TIMEOUT] = "drain_timeout",
	[ERROR_ACCEPT] = "accept",
	[ERROR_RESOURCES] = "resources",
};

/* The sum of one counter over the workers; `offset` is the counter's place in struct stats. */
static json_int_t sum(const struct proxy *proxy, size_t offset)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < proxy->worker_count; i++) {
		const char *stats = (const char *)&proxy->workers[i]->stats;

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

static json_t *bytes_json(const struct proxy *proxy, const struct sl_totals *totals)
{
	json_int_t kernel_up = (json_int_t)totals->bytes[SL_UP];
	json_int_t kernel_down = (json_int_t)totals->bytes[SL_DOWN];
	json_int_t relay_up = SUM(relayed[SL_UP]), relay_down = SUM(relayed[SL_DOWN]);

	return json_pack("{s:I,s:I,s:{s:I,s:I},s:{s:I,s:I}}", "kernel", kernel_up + kernel_down,
			 "relay", relay_up + relay_down, "up", "kernel", kernel_up, "relay",
			 relay_up, "down", "kernel", kernel_down, "relay", relay_down);
}

json_t *status_json(const struct proxy *proxy)
{
	struct sl_totals totals = {0};
	const char *reason = proxy->kernel_lane_reason;

	if (proxy->shared.kernel_lane)
		kernel_lane_totals(proxy->shared.kernel_lane, &totals);
	return json_pack(
		"{s:s,s:I,s:I,s:I,s:s,s:{s:b,s:s?,s:s},s:{s:I,s:I,s:I,s:I},s:o,s:I,s:I,s:I,s:I,s:I,"
		"s:I,s:I,s:o,s:o}",
		"version", PROXYD_VERSION, "pid", (json_int_t)getpid(), "uptime_seconds",
		(json_int_t)((worker_now_ms() - proxy->started_ms) / 1000), "workers",
		(json_int_t)proxy->worker_count, "lane", lane_choice_name(proxy->settings.lane),
		"kernel_lane", "available", proxy->shared.kernel_lane != NULL, "reason",
		*reason ? reason : NULL, "enrolment",
		proxy->shared.sock_ops ? "sock_ops" : "proxyd", "flows", "active",
		SUM(flows_active), "total", SUM(flows_total), "kernel", SUM(flows_kernel), "max",
		(json_int_t)proxy->room.flows_max, "bytes", bytes_json(proxy, &totals),
		"lane_moves", SUM(lane_moves), "wakeups", SUM(wakeups), "window_stalls",
		(json_int_t)totals.window_stalls, "enrolled", (json_int_t)totals.enrolled,
		"not_enrolled", (json_int_t)totals.not_enrolled, "no_peer",
		(json_int_t)totals.no_peer, "events_lost", (json_int_t)totals.events_lost,
		"fallbacks",
		sums(proxy, fallback_names, FALLBACK_REASONS, offsetof(struct stats, fallbacks)),
		"errors", sums(proxy, error_names, ERROR_KINDS, offsetof(struct stats, errors)));
}

static void print_level(const json_t *object, const char *prefix)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)object, key, value)
	{
		char name[128];

		snprintf(name, sizeof(name), "%s%s%s", prefix, *prefix ? "." : "", key);
		if (json_is_object(value))
			print_level(value, name);
		else if (json_is_string(value))
			printf("%-28s %s\n", name, json_string_value(value));
		else if (json_is_integer(value))
			printf("%-28s %lld\n", name, (long long)json_integer_value(value));
		else if (json_is_boolean(value))
			printf("%-28s %s\n", name, json_is_true(value) ? "yes" : "no");
	}
}

void status_print(const json_t *status)
{
	print_level(status, "");
}
