// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "ward.h"

#include <dirent.h>
#include <stdio.h>

#include "address.h"

struct turn turns[WARD_TURNS];
unsigned int turn_count, most_descriptors;

/* Of ward_wait(), while it waits. */
static struct event_base *waiting;

static unsigned int count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	unsigned int count = 0;

	while (directory && readdir(directory))
		count++;
	if (directory)
		closedir(directory);
	return count;
}

void __real_endpoint_set_health(struct endpoint *endpoint, bool up, const char *reason,
				uint64_t now_ms);
void __wrap_endpoint_set_health(struct endpoint *endpoint, bool up, const char *reason,
				uint64_t now_ms);

void __wrap_endpoint_set_health(struct endpoint *endpoint, bool up, const char *reason,
				uint64_t now_ms)
{
	struct turn *turn = &turns[turn_count++];
	unsigned int descriptors = count_descriptors();

	if (descriptors > most_descriptors)
		most_descriptors = descriptors;
	cr_assert_lt(turn_count, WARD_TURNS);
	snprintf(turn->endpoint, sizeof(turn->endpoint), "%s", endpoint_name(endpoint));
	snprintf(turn->reason, sizeof(turn->reason), "%s", reason);
	turn->up = up;
	/* Before a check that is due by now begins: a slow server is counted on exactly, too. */
	if (waiting)
		event_base_loopbreak(waiting);
	__real_endpoint_set_health(endpoint, up, reason, now_ms);
}

void ward_add_endpoint(struct ward *ward, const char *host, unsigned int port)
{
	unsigned int index = ward->config.endpoint_count++;

	snprintf(ward->texts[index], sizeof(ward->texts[index]), "%s:%u", host, port);
	ward->endpoints[index] = (struct config_endpoint){.kind = ENDPOINT_ADDRESS,
							  .text = ward->texts[index],
							  .address = address_of(ward->texts[index]),
							  .weight = 1};
}

void ward_open(struct ward *ward)
{
	*ward = (struct ward){0};
	program_start(&ward->backend, "backend.py", NULL);
	ward->base = event_base_new();
	ward->statuses[0] = (struct port_range){200, 299};
	ward->config = (struct config_upstream){
		.name = "web",
		.endpoints = ward->endpoints,
		.health =
			{
				.kind = HEALTH_HTTP,
				.interval = 50,
				.timeout = 20000, /* no server here is so slow */
				.rise = 2,
				.fall = 3,
				.path = "/healthz",
				.statuses = {.items = ward->statuses, .count = 1},
			},
		.ejection = {.panic_percent = 50},
	};
	ward_add_endpoint(ward, "127.0.0.1", ward->backend.port);
}

void ward_start(struct ward *ward)
{
	cr_assert_eq(upstream_new(&ward->config, clock_ms(), &ward->upstream), 0);
	cr_assert_eq(health_new(ward->base, ward->upstream, &ward->config.health, &ward->config.tcp,
				&ward->health),
		     0);
}

void ward_close(struct ward *ward)
{
	health_free(ward->health);
	upstream_unref(ward->upstream);
	event_base_free(ward->base);
	program_end(&ward->backend);
	libevent_global_shutdown();
}

void ward_run(struct ward *ward, unsigned int milliseconds)
{
	const struct timeval time = {.tv_sec = milliseconds / 1000,
				     .tv_usec = milliseconds % 1000 * 1000};

	event_base_loopexit(ward->base, &time);
	event_base_dispatch(ward->base);
}

const struct turn *ward_wait(struct ward *ward, unsigned int count)
{
	uint64_t end = clock_ms() + 60000;

	waiting = ward->base;
	while (turn_count < count && clock_ms() < end)
		event_base_loop(ward->base, EVLOOP_ONCE);
	waiting = NULL;
	cr_assert_geq(turn_count, count, "only %u turns", turn_count);
	return &turns[count - 1];
}

void ward_expect(struct ward *ward, unsigned int count, bool up, const char *reason)
{
	const struct turn *turn = ward_wait(ward, count);

	cr_expect_eq(turn->up, up, "turn %u is %s", count, turn->up ? "up" : "down");
	cr_expect_str_eq(turn->reason, reason);
}
