// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Names of a real server (name_server.py) and what an upstream is told of them. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/event.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <net/if.h>
#include <unistd.h>

#include "capture.h"
#include "clock.h"
#include "policy/name.h"
#include "policy/resolver.h"
#include "need.h"
#include "program.h"

#define ENDPOINTS_MAX 1000

/* The last call of upstream_resolved() for an endpoint of the config. */
struct told {
	unsigned int calls;
	unsigned int count;
	double at_ms;
	struct resolved addresses[RESOLVED_MAX];
};

static struct told told[ENDPOINTS_MAX];

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

struct scene {
	struct event_base *base;
	struct program server;
	struct config_endpoint endpoints[ENDPOINTS_MAX];
	char names[ENDPOINTS_MAX][32];
	struct config_upstream config;
	struct upstream *upstream;
	struct resolver *resolver;
	char servers[2][32];
	char *server_list[2];
	/* The loop's longest turn, of those that end every ms. */
	struct event *tick;
	double last_tick, longest;
	unsigned int ticks;
};

/* The linker has resolver.c call this one (-Wl,--wrap). */
int __real_upstream_resolved(struct upstream *upstream, unsigned int index,
			     const struct resolved *addresses, unsigned int count, uint64_t now_ms);
int __wrap_upstream_resolved(struct upstream *upstream, unsigned int index,
			     const struct resolved *addresses, unsigned int count, uint64_t now_ms);

int __wrap_upstream_resolved(struct upstream *upstream, unsigned int index,
			     const struct resolved *addresses, unsigned int count, uint64_t time_ms)
{
	struct told *entry = &told[index];

	cr_assert_leq(count, RESOLVED_MAX);
	entry->calls++;
	entry->at_ms = now_ms();
	entry->count = count;
	memcpy(entry->addresses, addresses, count * sizeof(*addresses));
	return __real_upstream_resolved(upstream, index, addresses, count, time_ms);
}

/* --- The scene ---------------------------------------------------------------------------- */

static void add(struct scene *scene, enum endpoint_kind kind, const char *host)
{
	unsigned int index = scene->config.endpoint_count++;

	snprintf(scene->names[index], sizeof(scene->names[index]), "%s", host);
	scene->endpoints[index] = (struct config_endpoint){
		.kind = kind,
		.text = scene->names[index],
		.host = scene->names[index],
		.port = kind == ENDPOINT_NAME ? 80 : 0,
		.weight = 1,
	};
}

static void on_tick(evutil_socket_t fd, short what, void *user)
{
	struct scene *scene = user;
	double now = now_ms();

	(void)fd;
	(void)what;
	if (scene->last_tick && now - scene->last_tick > scene->longest)
		scene->longest = now - scene->last_tick;
	scene->last_tick = now;
	scene->ticks++;
}

static struct scene *open_scene(void)
{
	const struct timeval tick = {.tv_usec = 1000};
	struct scene *scene = calloc(1, sizeof(*scene));

	program_start(&scene->server, "name_server.py", NULL);
	scene->base = event_base_new();
	scene->tick = event_new(scene->base, -1, EV_PERSIST, on_tick, scene);
	event_add(scene->tick, &tick);
	scene->config = (struct config_upstream){
		.name = "web",
		.endpoints = scene->endpoints,
		.ejection = {.panic_percent = 50},
	};
	snprintf(scene->servers[0], sizeof(scene->servers[0]), "127.0.0.1:%u", scene->server.port);
	scene->server_list[0] = scene->servers[0];
	return scene;
}

static void start(struct scene *scene)
{
	const struct string_list servers = {.items = scene->server_list, .count = 1};

	cr_assert_eq(upstream_new(&scene->config, clock_ms(), &scene->upstream), 0);
	cr_assert_eq(resolver_new(scene->base, &servers, &scene->resolver), 0);
}

static void watch(struct scene *scene)
{
	cr_assert_eq(resolver_watch(scene->resolver, scene->upstream, &scene->config), 0);
}

static void close_scene(struct scene *scene)
{
	resolver_free(scene->resolver);
	upstream_unref(scene->upstream);
	event_free(scene->tick);
	event_base_free(scene->base);
	program_end(&scene->server);
	free(scene);
	libevent_global_shutdown();
}

static void run_for(struct scene *scene, unsigned int milliseconds)
{
	const struct timeval time = {.tv_sec = milliseconds / 1000,
				     .tv_usec = milliseconds % 1000 * 1000};

	event_base_loopexit(scene->base, &time);
	event_base_dispatch(scene->base);
}

/* "127.0.0.1:80 127.0.0.2:80*3 [::1]:80!": with the weight, and ! for a backup. */
static const char *text_of(unsigned int index)
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

/* Until that is what the upstream was told. Returns the ms that it took. */
static double expect(struct scene *scene, unsigned int index, const char *expected)
{
	double began = now_ms(), end = began + 60000;

	while (now_ms() < end && (!told[index].calls || strcmp(text_of(index), expected)))
		run_for(scene, 5);
	cr_expect_str_eq(text_of(index), expected);
	return now_ms() - began;
}

/*
 * The same. Returns the ms from what the upstream was told before, which is when the answer came,
 * however late this test looks. There is no upper limit but that of expect(): the machine may be
 * busy.
 */
static double expect_next(struct scene *scene, unsigned int index, const char *expected)
{
	double before = told[index].at_ms;

	expect(scene, index, expected);
	return told[index].at_ms - before;
}

/* --- Hosts ------------------------------------------------------------------------------- */

Test(resolver, both_families)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_NAME, "shop.test");
	program_tell(&scene->server, "set shop.test A 60 127.0.0.3,127.0.0.2");
	program_tell(&scene->server, "set shop.test AAAA 60 ::1");
	start(scene);
	watch(scene);
	expect(scene, 0, "[::1]:80 127.0.0.2:80 127.0.0.3:80");
	close_scene(scene);
}

/* A change is seen when the TTL has ended, and not asked for before. */
Test(resolver, ttl_is_honoured)
{
	struct scene *scene = open_scene();
	double took;
	long count;

	add(scene, ENDPOINT_NAME, "shop.test");
	program_tell(&scene->server, "set shop.test A 2 127.0.0.2");
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.2:80");
	program_tell(&scene->server, "set shop.test A 1 127.0.0.4");
	took = expect_next(scene, 0, "127.0.0.4:80");
	cr_expect(took > 1800, "a TTL of 2 s was over after %.0f ms", took);
	/* More only where the machine was too busy to ask or answer in time. */
	count = program_count(&scene->server, "count shop.test A");
	cr_expect_leq(count, 2 + took / 2000, "%ld questions in %.0f ms", count, took);
	/* From now on each second; nothing new, so nothing to tell. */
	for (int i = 0; i < 3000 && program_count(&scene->server, "count shop.test A") < count + 3;
	     i++)
		run_for(scene, 20);
	cr_expect_geq(program_count(&scene->server, "count shop.test A"), count + 3);
	cr_expect_eq(told[0].calls, 2);
	close_scene(scene);
}

/* The lowest TTL on the way counts, also of an alias. */
Test(resolver, aliases)
{
	struct scene *scene = open_scene();
	double took;

	add(scene, ENDPOINT_NAME, "www.test");
	program_tell(&scene->server, "set www.test CNAME 1 shop.test");
	program_tell(&scene->server, "set shop.test A 300 127.0.0.2");
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.2:80");
	program_tell(&scene->server, "set shop.test A 300 127.0.0.3");
	took = expect_next(scene, 0, "127.0.0.3:80");
	cr_expect(took > 800, "after %.0f ms", took);
	close_scene(scene);
}

Test(resolver, a_family_that_goes)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_NAME, "shop.test");
	program_tell(&scene->server, "set shop.test A 1 127.0.0.2");
	program_tell(&scene->server, "set shop.test AAAA 1 ::1");
	start(scene);
	watch(scene);
	expect(scene, 0, "[::1]:80 127.0.0.2:80");
	program_tell(&scene->server, "nothing shop.test AAAA 1");
	expect(scene, 0, "127.0.0.2:80");
	close_scene(scene);
}

/* What was known stays; one line when it begins and one when it ends, however many tries. */
Test(resolver, failure_keeps_the_last_addresses)
{
	struct scene *scene = open_scene();
	struct capture capture;
	const char *said;

	add(scene, ENDPOINT_NAME, "shop.test");
	program_tell(&scene->server, "set shop.test A 1 127.0.0.2");
	start(scene);
	*resolver_times(scene->resolver) = (struct name_times){
		.ttl_min = 100, .ttl_max = 1000, .retry_min = 50, .retry_max = 200};
	watch(scene);
	expect(scene, 0, "127.0.0.2:80");
	capture_start(&capture, stderr);
	program_tell(&scene->server, "fail shop.test");
	for (int i = 0; i < 600 && program_count(&scene->server, "count shop.test A") < 8; i++)
		run_for(scene, 100);
	cr_expect_geq(program_count(&scene->server, "count shop.test A"), 8);
	cr_expect_eq(told[0].calls, 1);
	program_tell(&scene->server, "set shop.test A 1 127.0.0.3");
	program_tell(&scene->server, "heal shop.test");
	expect(scene, 0, "127.0.0.3:80");
	said = capture_end(&capture, stderr);
	cr_expect(strstr(said, "name shop.test: ") && strstr(said, "what it had stays in use"),
		  "%s", said);
	cr_expect(strstr(said, "name shop.test: resolves again\n"), "%s", said);
	cr_expect_null(strstr(strstr(said, "stays in use") + 1, "stays in use"), "%s", said);
	close_scene(scene);
}

/* Ever more seldom: 100, 200, 400 and then every 800 ms. */
Test(resolver, failures_back_off)
{
	struct scene *scene = open_scene();
	long count = 0;
	double began;

	add(scene, ENDPOINT_NAME, "shop.test");
	program_tell(&scene->server, "fail shop.test");
	start(scene);
	*resolver_times(scene->resolver) = (struct name_times){
		.ttl_min = 100, .ttl_max = 1000, .retry_min = 100, .retry_max = 800};
	began = now_ms();
	watch(scene);
	/* Each try asks the server three times, at once. */
	for (int i = 0; i < 600 && (i < 30 || count < 4); i++) {
		run_for(scene, 100);
		count = program_count(&scene->server, "count shop.test A") / 3;
	}
	cr_expect_geq(count, 4);
	cr_expect_leq(count, 4 + (now_ms() - began) / 800, "%ld tries in %.0f ms", count,
		      now_ms() - began);
	cr_expect_eq(told[0].calls, 0, "nothing is known, so nothing is told");
	close_scene(scene);
}

/* The family that answers is followed, the other keeps what it had. */
Test(resolver, one_family_fails)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_NAME, "a.test");
	program_tell(&scene->server, "set a.test A 1 127.0.0.2");
	program_tell(&scene->server, "set a.test AAAA 1 ::1");
	start(scene);
	*resolver_times(scene->resolver) = (struct name_times){
		.ttl_min = 100, .ttl_max = 1000, .retry_min = 100, .retry_max = 800};
	watch(scene);
	expect(scene, 0, "[::1]:80 127.0.0.2:80");
	program_tell(&scene->server, "break a.test AAAA");
	program_tell(&scene->server, "set a.test A 1 127.0.0.3");
	expect(scene, 0, "[::1]:80 127.0.0.3:80");
	close_scene(scene);
}

/* "No such name" is believed after a while, and then there are no addresses. */
Test(resolver, a_name_that_goes)
{
	struct scene *scene = open_scene();
	double took;

	add(scene, ENDPOINT_NAME, "shop.test");
	program_tell(&scene->server, "set shop.test A 1 127.0.0.2");
	start(scene);
	resolver_times(scene->resolver)->hold = 1000;
	watch(scene);
	expect(scene, 0, "127.0.0.2:80");
	program_tell(&scene->server, "gone shop.test 1");
	took = expect_next(scene, 0, "");
	cr_expect(took > 1500, "after %.0f ms", took);
	program_tell(&scene->server, "set shop.test A 1 127.0.0.3");
	expect(scene, 0, "127.0.0.3:80");
	close_scene(scene);
}

/* A slip of some seconds is nothing. */
Test(resolver, a_name_that_is_back_soon)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_NAME, "shop.test");
	program_tell(&scene->server, "set shop.test A 1 127.0.0.2");
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.2:80");
	program_tell(&scene->server, "gone shop.test 1");
	run_for(scene, 2000);
	cr_expect_eq(told[0].calls, 1);
	program_tell(&scene->server, "set shop.test A 1 127.0.0.2");
	run_for(scene, 1500);
	cr_expect_eq(told[0].calls, 1);
	close_scene(scene);
}

Test(resolver, a_name_that_never_was)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_NAME, "nowhere.test");
	program_tell(&scene->server, "gone nowhere.test 1");
	start(scene);
	watch(scene);
	expect(scene, 0, "");
	cr_expect_eq(told[0].calls, 1);
	program_tell(&scene->server, "set nowhere.test A 1 127.0.0.2");
	expect(scene, 0, "127.0.0.2:80");
	close_scene(scene);
}

Test(resolver, truncated_answers_come_by_tcp)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_NAME, "shop.test");
	program_tell(&scene->server, "set shop.test A 60 127.0.0.2");
	program_tell(&scene->server, "cut shop.test");
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.2:80");
	cr_expect_geq(program_count(&scene->server, "tcp"), 1);
	close_scene(scene);
}

/* Always the same ones, in whichever order they come. */
Test(resolver, more_addresses_than_are_used)
{
	struct scene *scene = open_scene();
	char list[400 * 16], first[ADDRESS_TEXT];
	size_t used = 0;

	for (unsigned int i = 400; i; i--)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s127.2.%u.%u",
					 used ? "," : "", i / 200, i % 200);
	add(scene, ENDPOINT_NAME, "big.test");
	program_tell(&scene->server, "set big.test A 1 %s", list);
	start(scene);
	watch(scene);
	for (unsigned int i = 0; i < 3000 && !told[0].calls; i++)
		run_for(scene, 20);
	cr_expect_eq(told[0].count, RESOLVED_MAX);
	cr_expect_str_eq(address_format(&told[0].addresses[0].address, first), "127.2.0.1:80");
	close_scene(scene);
}

/* No question is asked for what the file has. */
Test(resolver, hosts_file)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_NAME, "localhost");
	start(scene);
	watch(scene);
	for (unsigned int i = 0; i < 10000 && !told[0].calls; i++)
		run_for(scene, 5);
	cr_expect(strstr(text_of(0), "127.0.0.1:80"), "%s", text_of(0));
	cr_expect_eq(program_count(&scene->server, "count"), 0);
	close_scene(scene);
}

static void raise_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

/* A machine with IPv4 alone, and a name with both. */
Test(resolver, addresses_without_a_route)
{
	struct scene *scene;

	if (unshare(CLONE_NEWNET))
		skip_test("needs a network namespace");
	raise_loopback();
	scene = open_scene();
	add(scene, ENDPOINT_NAME, "both.test");
	add(scene, ENDPOINT_NAME, "none.test");
	program_tell(&scene->server, "set both.test A 60 127.0.0.2");
	program_tell(&scene->server, "set both.test AAAA 60 2001:db8::1");
	program_tell(&scene->server, "set none.test A 60 192.0.2.1");
	program_tell(&scene->server, "set none.test AAAA 60 2001:db8::1");
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.2:80");
	/* Where there is no route to any, that may be of the moment. */
	expect(scene, 1, "192.0.2.1:80 [2001:db8::1]:80");
	close_scene(scene);
}

/* --- SRV --------------------------------------------------------------------------------- */

Test(resolver, priorities_and_weights)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_SRV, "_http._tcp.test");
	program_tell(&scene->server,
		     "set _http._tcp.test SRV 1 10 5 8081 a.test, 10 20 8082 b.test,"
		     "20 0 8083 c.test");
	program_tell(&scene->server, "set a.test A 60 127.0.0.1,127.0.0.2");
	program_tell(&scene->server, "set b.test A 60 127.0.0.3");
	program_tell(&scene->server, "set c.test A 60 127.0.0.4");
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.1:8081*5 127.0.0.2:8081*5 127.0.0.3:8082*20 127.0.0.4:8083*1!");
	/* Told once, of all of it, and not of each target as it came. */
	cr_expect_eq(told[0].calls, 1);
	program_tell(&scene->server, "set _http._tcp.test SRV 60 7 0 8082 b.test, 7 0 8083 c.test");
	expect(scene, 0, "127.0.0.3:8082 127.0.0.4:8083");
	close_scene(scene);
}

/* Each name has its own TTL. */
Test(resolver, a_target_that_moves)
{
	struct scene *scene = open_scene();
	double began;

	add(scene, ENDPOINT_SRV, "_http._tcp.test");
	program_tell(&scene->server, "set _http._tcp.test SRV 300 0 1 81 a.test, 0 1 82 b.test");
	program_tell(&scene->server, "set a.test A 1 127.0.0.1");
	program_tell(&scene->server, "set b.test A 300 127.0.0.2");
	start(scene);
	began = now_ms();
	watch(scene);
	expect(scene, 0, "127.0.0.1:81*1 127.0.0.2:82*1");
	program_tell(&scene->server, "set a.test A 1 127.0.0.9");
	expect(scene, 0, "127.0.0.2:82*1 127.0.0.9:81*1");
	/* Again only where the server was too slow. */
	cr_expect_leq(program_count(&scene->server, "count _http._tcp.test"),
		      1 + (now_ms() - began) / 2000);
	cr_expect_leq(program_count(&scene->server, "count b.test A"),
		      1 + (now_ms() - began) / 2000);
	close_scene(scene);
}

/* In proportion; the lightest keeps a little. */
Test(resolver, heavy_weights)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_SRV, "_http._tcp.test");
	program_tell(&scene->server, "set _http._tcp.test SRV 60 0 65535 1 a.test,0 32768 2 a.test,"
				     "0 1 3 a.test");
	program_tell(&scene->server, "set a.test A 60 127.0.0.1");
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.1:1*256 127.0.0.1:2*128 127.0.0.1:3*1");
	close_scene(scene);
}

/* A target that cannot be resolved holds the others up only until that is known. */
Test(resolver, a_target_that_fails)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_SRV, "_http._tcp.test");
	program_tell(&scene->server, "set _http._tcp.test SRV 60 0 1 81 a.test, 0 1 82 b.test,"
				     "1 1 83 ., 1 1 84 bad*name.test, 1 1 0 a.test");
	program_tell(&scene->server, "set a.test A 1 127.0.0.1");
	program_tell(&scene->server, "fail b.test");
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.1:81*1");
	close_scene(scene);
}

/* When a server says at last that there is no such name, that is news, though it had no records. */
Test(resolver, a_failure_that_becomes_an_answer)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_SRV, "_http._tcp.test");
	add(scene, ENDPOINT_NAME, "b.test");
	program_tell(&scene->server, "set _http._tcp.test SRV 60 0 1 81 a.test, 0 1 82 b.test");
	program_tell(&scene->server, "set a.test A 1 127.0.0.1");
	program_tell(&scene->server, "fail b.test");
	start(scene);
	*resolver_times(scene->resolver) = (struct name_times){.ttl_min = 100,
							       .ttl_max = 200,
							       .nothing_max = 60000,
							       .retry_min = 50,
							       .retry_max = 50};
	watch(scene);
	expect(scene, 0, "127.0.0.1:81*1");
	program_tell(&scene->server, "gone a.test 60");
	program_count(&scene->server, "count");
	for (int i = 0; i < 3000 && program_count(&scene->server, "count a.test") < 2; i++)
		run_for(scene, 20);
	/* None has an address any more, but of b.test that is not known. */
	run_for(scene, 100);
	cr_expect_str_eq(text_of(0), "127.0.0.1:81*1");
	cr_expect_eq(told[1].calls, 0);
	program_tell(&scene->server, "gone b.test 60");
	program_tell(&scene->server, "heal b.test");
	expect(scene, 0, "");
	cr_expect_eq(told[1].calls, 1);
	cr_expect_eq(told[1].count, 0);
	close_scene(scene);
}

Test(resolver, no_service)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_SRV, "_http._tcp.test");
	program_tell(&scene->server, "set _http._tcp.test SRV 60 0 0 0 .");
	start(scene);
	watch(scene);
	expect(scene, 0, "");
	close_scene(scene);
}

/* --- The loop ---------------------------------------------------------------------------- */

/* Servers that are slow or say nothing take no time of anybody else. */
Test(resolver, slow_servers_do_not_block)
{
	struct scene *scene = open_scene();
	double end = now_ms() + 20000; /* one after the other would take longer */

	for (unsigned int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "s%u.test", i);
		add(scene, ENDPOINT_NAME, name);
		program_tell(&scene->server, "set %s A 60 127.0.0.%u", name, i + 1);
		program_tell(&scene->server, i % 2 ? "mute %s" : "slow %s 1500", name);
	}
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.1:80");
	while (scene->ticks < 200 && now_ms() < end)
		run_for(scene, 50);
	fprintf(stderr, "beside slow servers: %u turns of the loop, the longest %.1f ms\n",
		scene->ticks, scene->longest);
	cr_expect_geq(scene->ticks, 200);
	close_scene(scene);
}

Test(resolver, a_thousand_names)
{
	struct scene *scene = open_scene();
	unsigned int known = 0;
	double began;

	for (unsigned int i = 0; i < 1000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "h%u.many.test", i);
		add(scene, ENDPOINT_NAME, name);
	}
	program_tell(&scene->server, "many 1000 60");
	start(scene);
	began = now_ms();
	watch(scene);
	while (known < 1000 && now_ms() < began + 60000) {
		run_for(scene, 10);
		for (known = 0; known < 1000 && told[known].count == 1;)
			known++;
	}
	fprintf(stderr, "%u names in %.0f ms, the loop's longest turn: %.1f ms\n", known,
		now_ms() - began, scene->longest);
	cr_expect_eq(known, 1000);
	cr_expect_str_eq(text_of(999), "127.1.3.250:80");
	/* A and AAAA of each; asked again where the machine was too busy to answer in time. */
	cr_expect_geq(program_count(&scene->server, "count"), 2000);
	close_scene(scene);
}

/* --- Reloads ----------------------------------------------------------------------------- */

/* What is known is told at once, and not asked for again. */
Test(resolver, another_config)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_NAME, "a.test");
	add(scene, ENDPOINT_SRV, "_http._tcp.test");
	program_tell(&scene->server, "set a.test A 60 127.0.0.1");
	program_tell(&scene->server, "set b.test A 60 127.0.0.2");
	program_tell(&scene->server, "set _http._tcp.test SRV 60 0 1 81 a.test");
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.1:80");
	expect(scene, 1, "127.0.0.1:81*1");
	program_count(&scene->server, "count");
	for (unsigned int i = 0; i < 1000; i++) {
		memset(told, 0, sizeof(told[0]) * 2);
		cr_assert_eq(upstream_update(scene->upstream, &scene->config, clock_ms()), 0);
		watch(scene);
		cr_assert_str_eq(text_of(0), "127.0.0.1:80");
		cr_assert_str_eq(text_of(1), "127.0.0.1:81*1");
	}
	run_for(scene, 50);
	cr_expect_eq(program_count(&scene->server, "count"), 0);
	/* The other way round, and one more. */
	memset(told, 0, sizeof(told[0]) * 3);
	scene->config.endpoint_count = 0;
	add(scene, ENDPOINT_SRV, "_http._tcp.test");
	add(scene, ENDPOINT_NAME, "b.test");
	add(scene, ENDPOINT_NAME, "A.Test");
	cr_assert_eq(upstream_update(scene->upstream, &scene->config, clock_ms()), 0);
	watch(scene);
	cr_expect_str_eq(text_of(0), "127.0.0.1:81*1");
	cr_expect_str_eq(text_of(2), "127.0.0.1:80");
	expect(scene, 1, "127.0.0.2:80");
	cr_expect_eq(program_count(&scene->server, "count a.test"), 0);
	/* Without names there is nobody to ask for. */
	scene->config.endpoint_count = 0;
	cr_assert_eq(upstream_update(scene->upstream, &scene->config, clock_ms()), 0);
	watch(scene);
	resolver_unwatch(scene->resolver, scene->upstream);
	resolver_unwatch(scene->resolver, scene->upstream);
	close_scene(scene);
}

/* As when there was no memory to watch the new config: the old watch knows its names yet. */
Test(resolver, another_config_that_is_not_watched)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_NAME, "a.test");
	add(scene, ENDPOINT_NAME, "b.test");
	program_tell(&scene->server, "set a.test A 1 127.0.0.1");
	program_tell(&scene->server, "set b.test A 1 127.0.0.2");
	start(scene);
	watch(scene);
	expect(scene, 0, "127.0.0.1:80");
	expect(scene, 1, "127.0.0.2:80");
	scene->config.endpoint_count = 0;
	add(scene, ENDPOINT_NAME, "c.test");
	add(scene, ENDPOINT_NAME, "a.test");
	memset(told, 0, sizeof(told[0]) * 2);
	cr_assert_eq(upstream_update(scene->upstream, &scene->config, clock_ms()), 0);
	program_tell(&scene->server, "set b.test A 1 127.0.0.3");
	program_tell(&scene->server, "set a.test A 1 127.0.0.4");
	expect(scene, 1, "127.0.0.4:80");
	run_for(scene, 1500);
	cr_expect_str_eq(text_of(1), "127.0.0.4:80");
	cr_expect_eq(told[0].calls, 0, "c.test is %s", text_of(0));
	close_scene(scene);
}

/* From servers that are dead, or busy with a question, to one that is alive. */
Test(resolver, other_servers)
{
	struct scene *scene = open_scene();
	const struct string_list alive = {.items = scene->server_list, .count = 1};
	char dead[] = "127.0.0.254:9", bad[] = "no address";
	char *dead_list[] = {dead}, *bad_list[] = {bad};
	const struct string_list nobody = {.items = dead_list, .count = 1};
	const struct string_list none = {.items = bad_list, .count = 1};
	double took = 2000;

	add(scene, ENDPOINT_NAME, "a.test");
	program_tell(&scene->server, "set a.test A 60 127.0.0.1");
	for (unsigned int i = 1; i <= 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "mute%u.test", i);
		add(scene, ENDPOINT_NAME, name);
		program_tell(&scene->server, "set %s A 60 127.0.0.2", name);
		program_tell(&scene->server, "mute %s", name);
	}
	start(scene);
	cr_expect_eq(resolver_set_servers(scene->resolver, &none), -EINVAL);
	cr_assert_eq(resolver_set_servers(scene->resolver, &nobody), 0);
	resolver_times(scene->resolver)->retry_min = 60000;
	watch(scene);
	run_for(scene, 300);
	cr_expect_eq(told[0].calls, 0);
	cr_assert_eq(resolver_set_servers(scene->resolver, &alive), 0);
	cr_expect_lt(expect(scene, 0, "127.0.0.1:80"), 30000, "by the next try");
	/* By itself the question would be asked again after 2 s; a busy machine takes some, too. */
	for (unsigned int i = 1; i <= 5 && took >= 1500; i++) {
		program_tell(&scene->server, "heal mute%u.test", i);
		cr_assert_eq(resolver_set_servers(scene->resolver, &alive), 0);
		took = expect(scene, i, "127.0.0.2:80");
	}
	cr_expect_lt(took, 1500);
	close_scene(scene);
}

/* What c-ares lets pass ("1.2.3") the config has refused before. */
Test(resolver, bad_servers)
{
	struct event_base *base = event_base_new();
	char *texts[] = {"localhost", "127.0.0.1:http"};
	struct resolver *resolver = NULL;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const struct string_list list = {.items = &texts[i], .count = 1};

		cr_expect_eq(resolver_new(base, &list, &resolver), -EINVAL, "%s", texts[i]);
		cr_expect_null(resolver);
	}
	event_base_free(base);
}

/* In every state that a question can be in; the sanitizers look. */
Test(resolver, free_while_questions_are_under_way)
{
	struct scene *scene = open_scene();

	add(scene, ENDPOINT_NAME, "a.test");
	add(scene, ENDPOINT_SRV, "_http._tcp.test");
	add(scene, ENDPOINT_NAME, "mute.test");
	add(scene, ENDPOINT_NAME, "cut.test");
	program_tell(&scene->server, "set a.test A 1 127.0.0.1");
	program_tell(&scene->server, "set _http._tcp.test SRV 1 0 1 81 a.test, 0 1 82 mute.test");
	program_tell(&scene->server, "mute mute.test");
	program_tell(&scene->server, "cut cut.test");
	program_tell(&scene->server, "slow cut.test 20");
	for (unsigned int i = 0; i < 20; i++) {
		start(scene);
		watch(scene);
		run_for(scene, i * 3);
		if (i % 3 == 1)
			resolver_unwatch(scene->resolver, scene->upstream);
		if (i % 3 == 2)
			watch(scene);
		if (i == 19)
			break;
		resolver_free(scene->resolver);
		upstream_unref(scene->upstream);
	}
	close_scene(scene);
}
