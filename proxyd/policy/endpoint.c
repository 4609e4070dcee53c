// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/endpoint.h"

#include <errno.h>
#include <stdlib.h>

int endpoint_new(struct upstream *upstream, const struct address *address, struct endpoint **out)
{
	struct endpoint *endpoint = calloc(1, sizeof(*endpoint));

	if (!endpoint)
		return -ENOMEM;
	atomic_init(&endpoint->refs, 1);
	endpoint->upstream = upstream;
	endpoint->address = *address;
	address_format(address, endpoint->name);
	*out = endpoint;
	return 0;
}

struct endpoint *endpoint_hold(struct endpoint *endpoint)
{
	atomic_fetch_add_explicit(&endpoint->refs, 1, memory_order_relaxed);
	return endpoint;
}

void endpoint_drop(struct endpoint *endpoint)
{
	if (endpoint && atomic_fetch_sub_explicit(&endpoint->refs, 1, memory_order_acq_rel) == 1)
		free(endpoint);
}

struct endpoint *endpoint_ref(struct endpoint *endpoint)
{
	upstream_ref(endpoint->upstream);
	return endpoint_hold(endpoint);
}

void endpoint_unref(struct endpoint *endpoint)
{
	struct upstream *upstream;

	if (!endpoint)
		return;
	upstream = endpoint->upstream;
	endpoint_drop(endpoint);
	upstream_unref(upstream);
}

const struct address *endpoint_address(const struct endpoint *endpoint)
{
	return &endpoint->address;
}

const char *endpoint_name(const struct endpoint *endpoint)
{
	return endpoint->name;
}

struct upstream *endpoint_upstream(const struct endpoint *endpoint)
{
	return endpoint->upstream;
}

uint32_t endpoint_weight(const struct endpoint *endpoint)
{
	const struct command *set = &endpoint->commands[COMMAND_WEIGHT];

	return set->nth ? set->value : endpoint->weight;
}

static bool is_drained(const struct endpoint *endpoint)
{
	return endpoint->commands[COMMAND_DRAIN].value;
}

bool endpoint_is_wanted(const struct endpoint *endpoint)
{
	return endpoint->entry && !is_drained(endpoint) && endpoint_weight(endpoint);
}

bool endpoint_has_room(const struct endpoint *endpoint)
{
	return !endpoint->max_flows || endpoint->flows < endpoint->max_flows;
}

static const char *state(const struct endpoint *endpoint)
{
	if (!endpoint->entry)
		return "leaving";
	if (is_drained(endpoint))
		return endpoint->flows ? "draining" : "drained";
	if (endpoint->down)
		return "down";
	if (endpoint->ejection.until_ms)
		return "ejected";
	return endpoint->ramp_from ? "starting" : "up";
}

json_t *endpoint_json(const struct endpoint *endpoint, uint64_t now_ms)
{
	const struct ejection *ejection = &endpoint->ejection;
	const char *entry = endpoint->entry ? endpoint->entry->text : NULL;
	uint64_t left = ejection->until_ms > now_ms ? ejection->until_ms - now_ms : 0;

	return json_pack("{s:s,s:s?,s:s,s:s?,s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}",
			 "address", endpoint->name, "entry", entry, "state", state(endpoint),
			 "reason", endpoint->down && *endpoint->reason ? endpoint->reason : NULL,
			 "serving", endpoint->tier != NULL, "backup", endpoint->backup, "weight",
			 (json_int_t)endpoint_weight(endpoint), "weight_configured",
			 (json_int_t)endpoint->weight, "flows", (json_int_t)endpoint->flows,
			 "max_flows", (json_int_t)endpoint->max_flows, "picks",
			 (json_int_t)endpoint->picks, "connects_failed",
			 (json_int_t)endpoint->connects_failed, "resets_early",
			 (json_int_t)endpoint->resets_early, "ejections",
			 (json_int_t)ejection->total, "ejected_for_ms", (json_int_t)left);
}
