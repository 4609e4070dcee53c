// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "scene.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct told told[SCENE_ENDPOINTS];
struct scene scene;

/* The linker has resolver.c call this one (-Wl,--wrap). */
int __real_upstream_resolved(struct upstream *upstream, unsigned int index,
			     const struct resolved *addresses, unsigned int count, uint64_t now_ms);
int __wrap_upstream_resolved(struct upstream *upstream, unsigned int index,
			     const struct resolved *addresses, unsigned int count, uint64_t now_ms);

int __wrap_upstream_resolved(struct upstream *upstream, unsigned int index,
			     const struct resolved *addresses, unsigned int count, uint64_t now_ms)
{
	struct told *entry = &told[index];

	cr_assert_leq(count, RESOLVED_MAX);
	entry->calls++;
	entry->at_ms = scene_now_ms();
	entry->count = count;
	memcpy(entry->addresses, addresses, count * sizeof(*addresses));
	return __real_upstream_resolved(upstream, index, addresses, count, now_ms);
}

double scene_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void scene_add(enum endpoint_kind kind, const char *host)
{
	unsigned int index = scene.config.endpoint_count++;

	snprintf(scene.names[index], sizeof(scene.names[index]), "%s", host);
	scene.endpoints[index] = (struct config_endpoint){
		.kind = kind,
		.text = scene.names[index],
		.host = scene.names[index],
		.port = kind == ENDPOINT_NAME ? 80 : 0,
		.weight = 1,
	};
}

static void on_tick(evutil_socket_t fd, short what, void *user)
{
	double now = scene_now_ms();

	(void)fd;
	(void)what;
	(void)user;
	if (scene.last_tick && now - scene.last_tick > scene.longest)
		scene.longest = now - scene.last_tick;
	scene.last_tick = now;
	scene.ticks++;
}

void scene_open(void)
{
	const struct timeval tick = {.tv_usec = 1000};

	program_start(&scene.server, "name_server.py", NULL);
	scene.base = event_base_new();
	scene.tick = event_new(scene.base, -1, EV_PERSIST, on_tick, NULL);
	event_add(scene.tick, &tick);
	scene.config = (struct config_upstream){
		.name = "web",
		.endpoints = scene.endpoints,
		.ejection = {.panic_percent = 50},
	};
	snprintf(scene.server_text, sizeof(scene.server_text), "127.0.0.1:%u", scene.server.port);
	scene.server_list[0] = scene.server_text;
}

void scene_prepare(void)
{
	const struct string_list servers = {.items = scene.server_list, .count = 1};

	cr_assert_eq(upstream_new(&scene.config, clock_ms(), &scene.upstream), 0);
	cr_assert_eq(resolver_new(scene.base, &servers, &scene.resolver), 0);
}

void scene_watch(void)
{
	cr_assert_eq(resolver_watch(scene.resolver, scene.upstream, &scene.config), 0);
}

void scene_start(void)
{
	scene_prepare();
	scene_watch();
}

void scene_close(void)
{
	resolver_free(scene.resolver);
	upstream_unref(scene.upstream);
	event_free(scene.tick);
	event_base_free(scene.base);
	program_end(&scene.server);
	libevent_global_shutdown();
}

void scene_run(unsigned int milliseconds)
{
	const struct timeval time = {.tv_sec = milliseconds / 1000,
				     .tv_usec = milliseconds % 1000 * 1000};

	event_base_loopexit(scene.base, &time);
	event_base_dispatch(scene.base);
}

const char *scene_text(unsigned int index)
{
	static char text[RESOLVED_MAX * ADDRESS_TEXT];
	size_t used = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < told[index].count; i++) {
		const struct resolved *resolved = &told[index].addresses[i];
		char address[ADDRESS_TEXT];

		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? " " : "",
					 address_format(&resolved->address, address));
		if (resolved->weight)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "*%u",
						 resolved->weight);
		if (resolved->backup)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "!");
	}
	return text;
}

double scene_expect(unsigned int index, const char *expected)
{
	double began = scene_now_ms(), end = began + 60000;

	while (scene_now_ms() < end && (!told[index].calls || strcmp(scene_text(index), expected)))
		scene_run(5);
	cr_expect_str_eq(scene_text(index), expected);
	return scene_now_ms() - began;
}

double scene_expect_next(unsigned int index, const char *expected)
{
	double before = told[index].at_ms;

	scene_expect(index, expected);
	return told[index].at_ms - before;
}
