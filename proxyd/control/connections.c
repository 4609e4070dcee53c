// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "control/connections.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "direct/report.h"
#include "flow/look.h"

/* Workers never block; one that has no answer by then is in bad trouble. Clients wait for 5 s. */
#define ANSWER_S 4

static const char *const lane_names[ACCOUNT_LANES] = {
	[ACCOUNT_RELAY] = "relay",
	[ACCOUNT_KERNEL] = "kernel",
	[ACCOUNT_DIRECT] = "direct",
};

static const char *const state_names[] = {
	[FLOW_HEADER] = "header",
	[FLOW_QUEUED] = "queued",
	[FLOW_INSPECTING] = "inspecting",
	[FLOW_CONNECTING] = "connecting",
	[FLOW_OPEN] = "open",
	[FLOW_RESETTING] = "resetting",
	[FLOW_CLOSED] = "closed",
};

/* --- One flow ---------------------------------------------------------------------------- */

static json_t *direction_json(const uint64_t bytes[ACCOUNT_LANES])
{
	json_t *object = json_object();

	for (int lane = 0; lane < ACCOUNT_LANES; lane++)
		json_object_set_new(object, lane_names[lane],
				    json_integer((json_int_t)bytes[lane]));
	return object;
}

json_t *connection_bytes_json(const uint64_t bytes[2][ACCOUNT_LANES])
{
	uint64_t all[ACCOUNT_LANES];
	json_t *object;

	for (int lane = 0; lane < ACCOUNT_LANES; lane++)
		all[lane] = bytes[SL_UP][lane] + bytes[SL_DOWN][lane];
	object = direction_json(all);
	json_object_set_new(object, "up", direction_json(bytes[SL_UP]));
	json_object_set_new(object, "down", direction_json(bytes[SL_DOWN]));
	return object;
}

/* Why each end is in the direct lane or not; null where there is no such lane. */
static json_t *direct_json(const struct account *account)
{
	static const char *const offers[] = {
		[ACCOUNT_NO_LANE] = NULL,
		[ACCOUNT_LIMITED] = "limited",
		[ACCOUNT_AWAITED] = "traffic",
		[ACCOUNT_NO_ROOM] = "no_room",
	};
	const char *client, *server;

	if (account->offer == ACCOUNT_NO_LANE)
		return json_null();
	if (account->offer == ACCOUNT_OFFERED) {
		client = direct_reason_name(account->reasons[DOWNSTREAM]);
		server = direct_reason_name(account->reasons[UPSTREAM]);
	} else {
		client = server = offers[account->offer];
	}
	return json_pack("{s:s?,s:s?}", "client", client, "server", server);
}

json_t *connection_address_json(const struct address *address)
{
	char text[ADDRESS_TEXT];

	return address->length ? json_string(address_format(address, text)) : json_null();
}

json_t *connection_json(const struct account *account)
{
	return json_pack("{s:I,s:s,s:s?,s:o,s:s?,s:o,s:o,s:I,s:I,s:o,s:{s:s,s:s},s:o}", "id",
			 (json_int_t)account->id, "state", state_names[account->state], "listener",
			 *account->listener ? account->listener : NULL, "client",
			 connection_address_json(&account->client), "upstream",
			 *account->upstream ? account->upstream : NULL, "endpoint",
			 connection_address_json(&account->endpoint), "source",
			 connection_address_json(&account->source), "age_ms",
			 (json_int_t)account->age_ms, "idle_ms", (json_int_t)account->idle_ms,
			 "bytes", connection_bytes_json(account->bytes), "lanes", "up",
			 lane_names[account->lanes[SL_UP]], "down",
			 lane_names[account->lanes[SL_DOWN]], "direct", direct_json(account));
}

/* --- All of them ------------------------------------------------------------------------- */

static bool answered(struct look *look)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ANSWER_S;
	while (sem_clockwait(&look->done, CLOCK_MONOTONIC, &end))
		if (errno != EINTR)
			return false;
	return true;
}

static void take_filter(const json_t *request, const char *key, char name[ACCOUNT_NAME])
{
	const char *value = json_string_value(json_object_get(request, key));

	snprintf(name, ACCOUNT_NAME, "%s", value ? value : "");
}

/* Where to go on: the worker above, the place on its roll below. */
static json_t *tell(const struct look *look, json_int_t worker)
{
	json_t *list = json_array();
	json_t *answer = json_pack("{s:o}", "connections", list);

	for (unsigned int i = 0; i < look->count; i++)
		json_array_append_new(list, connection_json(&look->accounts[i]));
	json_object_set_new(
		answer, "next",
		json_integer(look->ended ? (worker + 1) << 32 : worker << 32 | look->place));
	return answer;
}

json_t *connections_json(const struct proxy *proxy, const json_t *request)
{
	json_int_t next = json_integer_value(json_object_get(request, "next"));
	json_int_t worker = next >> 32;
	struct look *look;
	json_t *answer;

	if (next < 0 || worker >= (json_int_t)proxy->shared.worker_count)
		return json_pack("{s:[],s:n}", "connections", "next");
	look = look_new();
	if (!look)
		return NULL;
	look->place = (uint32_t)next;
	take_filter(request, "listener", look->listener);
	take_filter(request, "upstream", look->upstream);
	/* One that has ended has no flows. */
	look->ended = atomic_load(&proxy->shared.workers[worker]->ended);
	if (!look->ended && worker_look(proxy->shared.workers[worker], look))
		answer = NULL;
	else if (!look->ended && !answered(look) &&
		 !atomic_load(&proxy->shared.workers[worker]->ended))
		answer = json_pack("{s:s}", "error", "a worker does not answer");
	else
		answer = tell(look, worker);
	look_unref(look);
	return answer;
}

/* --- For people -------------------------------------------------------------------------- */

enum column {
	COLUMN_ID,
	COLUMN_STATE,
	COLUMN_LISTENER,
	COLUMN_CLIENT,
	COLUMN_UPSTREAM,
	COLUMN_ENDPOINT,
	COLUMN_AGE,
	COLUMN_IDLE,
	COLUMN_LANES,
	COLUMN_RELAY,
	COLUMN_KERNEL,
	COLUMN_DIRECT,
	COLUMN_WHY,
	COLUMNS,
};

#define CELL 96

/* Rows among which columns are aligned, at least. */
#define HELD_MAX 2048

typedef char row[COLUMNS][CELL];

static const row heads = {"ID",   "STATE", "LISTENER", "CLIENT", "UPSTREAM", "ENDPOINT", "AGE",
			  "IDLE", "LANES", "RELAY",    "KERNEL", "DIRECT",   "WHY"};

static void put_text(char cell[CELL], const json_t *flow, const char *key)
{
	const char *text = json_string_value(json_object_get(flow, key));

	snprintf(cell, CELL, "%s", text ? text : "-");
}

static void put_seconds(char cell[CELL], const json_t *flow, const char *key)
{
	double seconds = (double)json_integer_value(json_object_get(flow, key)) / 1000;

	snprintf(cell, CELL, "%.1fs", seconds);
}

static void put_bytes(char cell[CELL], const json_t *bytes, const char *lane)
{
	const json_t *up = json_object_get(bytes, "up"), *down = json_object_get(bytes, "down");

	snprintf(cell, CELL, "%lld/%lld", (long long)json_integer_value(json_object_get(up, lane)),
		 (long long)json_integer_value(json_object_get(down, lane)));
}

static void put_two(char cell[CELL], const json_t *object, const char *one, const char *other)
{
	const char *first = json_string_value(json_object_get(object, one));
	const char *second = json_string_value(json_object_get(object, other));

	if (first && second)
		snprintf(cell, CELL, "%s/%s", first, second);
	else
		strcpy(cell, "-");
}

static void make_row(row cells, const json_t *flow)
{
	const json_t *bytes = json_object_get(flow, "bytes");

	snprintf(cells[COLUMN_ID], CELL, "%lld",
		 (long long)json_integer_value(json_object_get(flow, "id")));
	put_text(cells[COLUMN_STATE], flow, "state");
	put_text(cells[COLUMN_LISTENER], flow, "listener");
	put_text(cells[COLUMN_CLIENT], flow, "client");
	put_text(cells[COLUMN_UPSTREAM], flow, "upstream");
	put_text(cells[COLUMN_ENDPOINT], flow, "endpoint");
	put_seconds(cells[COLUMN_AGE], flow, "age_ms");
	put_seconds(cells[COLUMN_IDLE], flow, "idle_ms");
	put_two(cells[COLUMN_LANES], json_object_get(flow, "lanes"), "up", "down");
	put_bytes(cells[COLUMN_RELAY], bytes, lane_names[ACCOUNT_RELAY]);
	put_bytes(cells[COLUMN_KERNEL], bytes, lane_names[ACCOUNT_KERNEL]);
	put_bytes(cells[COLUMN_DIRECT], bytes, lane_names[ACCOUNT_DIRECT]);
	put_two(cells[COLUMN_WHY], json_object_get(flow, "direct"), "client", "server");
}

static void widen(size_t widths[COLUMNS], const row cells)
{
	for (int i = 0; i < COLUMNS; i++)
		if (strlen(cells[i]) > widths[i])
			widths[i] = strlen(cells[i]);
}

/* No blanks at the end of a line. */
static void print_row(const size_t widths[COLUMNS], const row cells)
{
	for (int i = 0; i < COLUMNS - 1; i++)
		printf("%-*s  ", (int)widths[i], cells[i]);
	printf("%s\n", cells[COLUMNS - 1]);
}

/* The columns fit these rows, and all before them. */
static void print_table(struct connections_printer *printer, const json_t *list)
{
	const json_t *flow;
	row cells;
	size_t i;

	widen(printer->widths, heads);
	json_array_foreach(list, i, flow)
	{
		make_row(cells, flow);
		widen(printer->widths, (const char(*)[CELL])cells);
	}
	if (!printer->begun)
		print_row(printer->widths, heads);
	json_array_foreach(list, i, flow)
	{
		make_row(cells, flow);
		print_row(printer->widths, (const char(*)[CELL])cells);
	}
}

static void print_objects(struct connections_printer *printer, const json_t *list)
{
	const json_t *flow;
	size_t i;

	if (!printer->begun)
		printf("{\"connections\": [");
	json_array_foreach(list, i, flow)
	{
		printf("%s", i || printer->begun ? ",\n" : "\n");
		json_dumpf(flow, stdout, 0);
	}
}

static void print_held(struct connections_printer *printer)
{
	if (printer->json)
		print_objects(printer, printer->held);
	else
		print_table(printer, printer->held);
	printer->begun = true;
	json_decref(printer->held);
	printer->held = NULL;
}

void connections_print(struct connections_printer *printer, const json_t *answer)
{
	if (!printer->held)
		printer->held = json_array();
	json_array_extend(printer->held, json_object_get(answer, "connections"));
	if (json_array_size(printer->held) >= HELD_MAX)
		print_held(printer);
}

void connections_print_end(struct connections_printer *printer)
{
	print_held(printer);
	if (printer->json)
		printf("]}\n");
}
