// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <stdio.h>

#include "control/access_log.h"
#include "control/connections.h"
#include "stats.h"

/* As RFC 3339 has it. */
static json_t *time_json(const struct timespec *when)
{
	char seconds[32], text[64];
	struct tm parts;

	gmtime_r(&when->tv_sec, &parts);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(text, sizeof(text), "%s.%06ldZ", seconds, when->tv_nsec / 1000);
	return json_string(text);
}

static const char *end_name(const struct access_entry *entry)
{
	if (entry->fault)
		return error_names[entry->fault - 1];
	if (!entry->ended_by)
		return "client_gone";
	return entry->ended_by - 1 == DOWNSTREAM ? "closed_downstream" : "closed_upstream";
}

char *access_line(const struct access_entry *entry)
{
	const struct account *account = &entry->account;
	json_t *object =
		json_pack("{s:o,s:I,s:s?,s:o,s:s?,s:o,s:o,s:o,s:I,s:o,s:s,s:s?}", "time",
			  time_json(&entry->time), "id", (json_int_t)account->id, "listener",
			  *account->listener ? account->listener : NULL, "client",
			  connection_address_json(&account->client), "upstream",
			  *account->upstream ? account->upstream : NULL, "endpoint",
			  connection_address_json(&account->endpoint), "source",
			  connection_address_json(&account->source), "connect_us",
			  entry->opened ? json_integer((json_int_t)entry->connect_us) : json_null(),
			  "duration_us", (json_int_t)entry->duration_us, "bytes",
			  connection_bytes_json(account->bytes), "end", end_name(entry), "detail",
			  entry->detail);
	char *line = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	return line;
}
