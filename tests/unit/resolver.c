// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Names of a real server (name_server.py) and what an upstream is told of them. */
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "capture.h"
#include "need.h"
#include "scene.h"

TestSuite(resolver, .init = scene_open, .fini = scene_close);

/* --- Hosts ------------------------------------------------------------------------------- */

Test(resolver, both_families)
{
	scene_add(ENDPOINT_NAME, "shop.test");
	tell("set shop.test A 60 127.0.0.3,127.0.0.2");
	tell("set shop.test AAAA 60 ::1");
	scene_start();
	scene_expect(0, "[::1]:80 127.0.0.2:80 127.0.0.3:80");
}

/* A change is seen when the TTL has ended, and not asked for before. */
Test(resolver, ttl_is_honoured)
{
	double took;
	long count;

	scene_add(ENDPOINT_NAME, "shop.test");
	tell("set shop.test A 2 127.0.0.2");
	scene_start();
	scene_expect(0, "127.0.0.2:80");
	tell("set shop.test A 1 127.0.0.4");
	took = scene_expect_next(0, "127.0.0.4:80");
	cr_expect(took > 1800, "a TTL of 2 s was over after %.0f ms", took);
	/* More only where the machine was too busy to ask or answer in time. */
	count = program_count(&scene.server, "count shop.test A");
	cr_expect_leq(count, 2 + took / 2000, "%ld questions in %.0f ms", count, took);
	/* From now on each second; nothing new, so nothing to tell. */
	for (int i = 0; i < 3000 && program_count(&scene.server, "count shop.test A") < count + 3;
	     i++)
		scene_run(20);
	cr_expect_geq(program_count(&scene.server, "count shop.test A"), count + 3);
	cr_expect_eq(told[0].calls, 2);
}

/* The lowest TTL on the way counts, also of an alias. */
Test(resolver, aliases)
{
	double took;

	scene_add(ENDPOINT_NAME, "www.test");
	tell("set www.test CNAME 1 shop.test");
	tell("set shop.test A 300 127.0.0.2");
	scene_start();
	scene_expect(0, "127.0.0.2:80");
	tell("set shop.test A 300 127.0.0.3");
	took = scene_expect_next(0, "127.0.0.3:80");
	cr_expect(took > 800, "after %.0f ms", took);
}

Test(resolver, a_family_that_goes)
{
	scene_add(ENDPOINT_NAME, "shop.test");
	tell("set shop.test A 1 127.0.0.2");
	tell("set shop.test AAAA 1 ::1");
	scene_start();
	scene_expect(0, "[::1]:80 127.0.0.2:80");
	tell("nothing shop.test AAAA 1");
	scene_expect(0, "127.0.0.2:80");
}

/* What was known stays; one line when it begins and one when it ends, however many tries. */
Test(resolver, failure_keeps_the_last_addresses)
{
	struct capture capture;
	const char *said;

	scene_add(ENDPOINT_NAME, "shop.test");
	tell("set shop.test A 1 127.0.0.2");
	scene_prepare();
	*resolver_times(scene.resolver) = (struct name_times){
		.ttl_min = 100, .ttl_max = 1000, .retry_min = 50, .retry_max = 200};
	scene_watch();
	scene_expect(0, "127.0.0.2:80");
	capture_start(&capture, stderr);
	tell("fail shop.test");
	for (int i = 0; i < 600 && program_count(&scene.server, "count shop.test A") < 8; i++)
		scene_run(100);
	cr_expect_geq(program_count(&scene.server, "count shop.test A"), 8);
	cr_expect_eq(told[0].calls, 1);
	tell("set shop.test A 1 127.0.0.3");
	tell("heal shop.test");
	scene_expect(0, "127.0.0.3:80");
	said = capture_end(&capture, stderr);
	cr_expect(strstr(said, "name shop.test: ") && strstr(said, "what it had stays in use"),
		  "%s", said);
	cr_expect(strstr(said, "name shop.test: resolves again\n"), "%s", said);
	cr_expect_null(strstr(strstr(said, "stays in use") + 1, "stays in use"), "%s", said);
}

/* Ever more seldom: 100, 200, 400 and then every 800 ms. */
Test(resolver, failures_back_off)
{
	long count = 0;
	double began;

	scene_add(ENDPOINT_NAME, "shop.test");
	tell("fail shop.test");
	scene_prepare();
	*resolver_times(scene.resolver) = (struct name_times){
		.ttl_min = 100, .ttl_max = 1000, .retry_min = 100, .retry_max = 800};
	began = scene_now_ms();
	scene_watch();
	/* Each try asks the server three times, at once. */
	for (int i = 0; i < 600 && (i < 30 || count < 4); i++) {
		scene_run(100);
		count = program_count(&scene.server, "count shop.test A") / 3;
	}
	cr_expect_geq(count, 4);
	cr_expect_leq(count, 4 + (scene_now_ms() - began) / 800, "%ld tries in %.0f ms", count,
		      scene_now_ms() - began);
	cr_expect_eq(told[0].calls, 0, "nothing is known, so nothing is told");
}

/* The family that answers is followed, the other keeps what it had. */
Test(resolver, one_family_fails)
{
	scene_add(ENDPOINT_NAME, "a.test");
	tell("set a.test A 1 127.0.0.2");
	tell("set a.test AAAA 1 ::1");
	scene_prepare();
	*resolver_times(scene.resolver) = (struct name_times){
		.ttl_min = 100, .ttl_max = 1000, .retry_min = 100, .retry_max = 800};
	scene_watch();
	scene_expect(0, "[::1]:80 127.0.0.2:80");
	tell("break a.test AAAA");
	tell("set a.test A 1 127.0.0.3");
	scene_expect(0, "[::1]:80 127.0.0.3:80");
}

/* "No such name" is believed after a while, and then there are no addresses. */
Test(resolver, a_name_that_goes)
{
	double took;

	scene_add(ENDPOINT_NAME, "shop.test");
	tell("set shop.test A 1 127.0.0.2");
	scene_prepare();
	resolver_times(scene.resolver)->hold = 1000;
	scene_watch();
	scene_expect(0, "127.0.0.2:80");
	tell("gone shop.test 1");
	took = scene_expect_next(0, "");
	cr_expect(took > 1500, "after %.0f ms", took);
	tell("set shop.test A 1 127.0.0.3");
	scene_expect(0, "127.0.0.3:80");
}

/* A slip of some seconds is nothing. */
Test(resolver, a_name_that_is_back_soon)
{
	scene_add(ENDPOINT_NAME, "shop.test");
	tell("set shop.test A 1 127.0.0.2");
	scene_start();
	scene_expect(0, "127.0.0.2:80");
	tell("gone shop.test 1");
	scene_run(2000);
	cr_expect_eq(told[0].calls, 1);
	tell("set shop.test A 1 127.0.0.2");
	scene_run(1500);
	cr_expect_eq(told[0].calls, 1);
}

Test(resolver, a_name_that_never_was)
{
	scene_add(ENDPOINT_NAME, "nowhere.test");
	tell("gone nowhere.test 1");
	scene_start();
	scene_expect(0, "");
	cr_expect_eq(told[0].calls, 1);
	tell("set nowhere.test A 1 127.0.0.2");
	scene_expect(0, "127.0.0.2:80");
}

Test(resolver, truncated_answers_come_by_tcp)
{
	scene_add(ENDPOINT_NAME, "shop.test");
	tell("set shop.test A 60 127.0.0.2");
	tell("cut shop.test");
	scene_start();
	scene_expect(0, "127.0.0.2:80");
	cr_expect_geq(program_count(&scene.server, "tcp"), 1);
}

/* Always the same ones, in whichever order they come. */
Test(resolver, more_addresses_than_are_used)
{
	char list[400 * 16], first[ADDRESS_TEXT];
	size_t used = 0;

	for (unsigned int i = 400; i; i--)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s127.2.%u.%u",
					 used ? "," : "", i / 200, i % 200);
	scene_add(ENDPOINT_NAME, "big.test");
	tell("set big.test A 1 %s", list);
	scene_start();
	for (unsigned int i = 0; i < 3000 && !told[0].calls; i++)
		scene_run(20);
	cr_expect_eq(told[0].count, RESOLVED_MAX);
	cr_expect_str_eq(address_format(&told[0].addresses[0].address, first), "127.2.0.1:80");
}

/* No question is asked for what the file has. */
Test(resolver, hosts_file)
{
	scene_add(ENDPOINT_NAME, "localhost");
	scene_start();
	for (unsigned int i = 0; i < 10000 && !told[0].calls; i++)
		scene_run(5);
	cr_expect(strstr(scene_text(0), "127.0.0.1:80"), "%s", scene_text(0));
	cr_expect_eq(program_count(&scene.server, "count"), 0);
}

static void raise_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	cr_assert_eq(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

/* A machine with IPv4 alone, and a name with both; the server is there, too. */
Test(resolver_alone, addresses_without_a_route)
{
	if (unshare(CLONE_NEWNET))
		skip_test("needs a network namespace");
	raise_loopback();
	scene_open();
	scene_add(ENDPOINT_NAME, "both.test");
	scene_add(ENDPOINT_NAME, "none.test");
	tell("set both.test A 60 127.0.0.2");
	tell("set both.test AAAA 60 2001:db8::1");
	tell("set none.test A 60 192.0.2.1");
	tell("set none.test AAAA 60 2001:db8::1");
	scene_start();
	scene_expect(0, "127.0.0.2:80");
	/* Where there is no route to any, that may be of the moment. */
	scene_expect(1, "192.0.2.1:80 [2001:db8::1]:80");
	scene_close();
}

/* --- SRV --------------------------------------------------------------------------------- */

Test(resolver, priorities_and_weights)
{
	scene_add(ENDPOINT_SRV, "_http._tcp.test");
	tell("set _http._tcp.test SRV 1 10 5 8081 a.test, 10 20 8082 b.test,"
	     "20 0 8083 c.test");
	tell("set a.test A 60 127.0.0.1,127.0.0.2");
	tell("set b.test A 60 127.0.0.3");
	tell("set c.test A 60 127.0.0.4");
	scene_start();
	scene_expect(0, "127.0.0.1:8081*5 127.0.0.2:8081*5 127.0.0.3:8082*20 127.0.0.4:8083*1!");
	/* Told once, of all of it, and not of each target as it came. */
	cr_expect_eq(told[0].calls, 1);
	tell("set _http._tcp.test SRV 60 7 0 8082 b.test, 7 0 8083 c.test");
	scene_expect(0, "127.0.0.3:8082 127.0.0.4:8083");
}

/* Each name has its own TTL. */
Test(resolver, a_target_that_moves)
{
	double began;

	scene_add(ENDPOINT_SRV, "_http._tcp.test");
	tell("set _http._tcp.test SRV 300 0 1 81 a.test, 0 1 82 b.test");
	tell("set a.test A 1 127.0.0.1");
	tell("set b.test A 300 127.0.0.2");
	scene_prepare();
	began = scene_now_ms();
	scene_watch();
	scene_expect(0, "127.0.0.1:81*1 127.0.0.2:82*1");
	tell("set a.test A 1 127.0.0.9");
	scene_expect(0, "127.0.0.2:82*1 127.0.0.9:81*1");
	/* Again only where the server was too slow. */
	cr_expect_leq(program_count(&scene.server, "count _http._tcp.test"),
		      1 + (scene_now_ms() - began) / 2000);
	cr_expect_leq(program_count(&scene.server, "count b.test A"),
		      1 + (scene_now_ms() - began) / 2000);
}

/* In proportion; the lightest keeps a little. */
Test(resolver, heavy_weights)
{
	scene_add(ENDPOINT_SRV, "_http._tcp.test");
	tell("set _http._tcp.test SRV 60 0 65535 1 a.test,0 32768 2 a.test,"
	     "0 1 3 a.test");
	tell("set a.test A 60 127.0.0.1");
	scene_start();
	scene_expect(0, "127.0.0.1:1*256 127.0.0.1:2*128 127.0.0.1:3*1");
}

/* A target that cannot be resolved holds the others up only until that is known. */
Test(resolver, a_target_that_fails)
{
	scene_add(ENDPOINT_SRV, "_http._tcp.test");
	tell("set _http._tcp.test SRV 60 0 1 81 a.test, 0 1 82 b.test,"
	     "1 1 83 ., 1 1 84 bad*name.test, 1 1 0 a.test");
	tell("set a.test A 1 127.0.0.1");
	tell("fail b.test");
	scene_start();
	scene_expect(0, "127.0.0.1:81*1");
}

/* When a server says at last that there is no such name, that is news, though it had no records. */
Test(resolver, a_failure_that_becomes_an_answer)
{
	scene_add(ENDPOINT_SRV, "_http._tcp.test");
	scene_add(ENDPOINT_NAME, "b.test");
	tell("set _http._tcp.test SRV 60 0 1 81 a.test, 0 1 82 b.test");
	tell("set a.test A 1 127.0.0.1");
	tell("fail b.test");
	scene_prepare();
	*resolver_times(scene.resolver) = (struct name_times){.ttl_min = 100,
							      .ttl_max = 200,
							      .nothing_max = 60000,
							      .retry_min = 50,
							      .retry_max = 50};
	scene_watch();
	scene_expect(0, "127.0.0.1:81*1");
	tell("gone a.test 60");
	program_count(&scene.server, "count");
	for (int i = 0; i < 3000 && program_count(&scene.server, "count a.test") < 2; i++)
		scene_run(20);
	/* None has an address any more, but of b.test that is not known. */
	scene_run(100);
	cr_expect_str_eq(scene_text(0), "127.0.0.1:81*1");
	cr_expect_eq(told[1].calls, 0);
	tell("gone b.test 60");
	tell("heal b.test");
	scene_expect(0, "");
	cr_expect_eq(told[1].calls, 1);
	cr_expect_eq(told[1].count, 0);
}

Test(resolver, no_service)
{
	scene_add(ENDPOINT_SRV, "_http._tcp.test");
	tell("set _http._tcp.test SRV 60 0 0 0 .");
	scene_start();
	scene_expect(0, "");
}

/* --- The loop ---------------------------------------------------------------------------- */

/* Servers that are slow or say nothing take no time of anybody else. */
Test(resolver, slow_servers_do_not_block)
{
	double end = scene_now_ms() + 20000; /* one after the other would take longer */

	for (unsigned int i = 0; i < 20; i++) {
		char name[32];

		snprintf(name, sizeof(name), "s%u.test", i);
		scene_add(ENDPOINT_NAME, name);
		tell("set %s A 60 127.0.0.%u", name, i + 1);
		tell(i % 2 ? "mute %s" : "slow %s 1500", name);
	}
	scene_start();
	scene_expect(0, "127.0.0.1:80");
	while (scene.ticks < 200 && scene_now_ms() < end)
		scene_run(50);
	fprintf(stderr, "beside slow servers: %u turns of the loop, the longest %.1f ms\n",
		scene.ticks, scene.longest);
	cr_expect_geq(scene.ticks, 200);
}

Test(resolver, a_thousand_names)
{
	unsigned int known = 0;
	double began;

	for (unsigned int i = 0; i < 1000; i++) {
		char name[32];

		snprintf(name, sizeof(name), "h%u.many.test", i);
		scene_add(ENDPOINT_NAME, name);
	}
	tell("many 1000 60");
	scene_prepare();
	began = scene_now_ms();
	scene_watch();
	while (known < 1000 && scene_now_ms() < began + 60000) {
		scene_run(10);
		for (known = 0; known < 1000 && told[known].count == 1;)
			known++;
	}
	fprintf(stderr, "%u names in %.0f ms, the loop's longest turn: %.1f ms\n", known,
		scene_now_ms() - began, scene.longest);
	cr_expect_eq(known, 1000);
	cr_expect_str_eq(scene_text(999), "127.1.3.250:80");
	/* A and AAAA of each; asked again where the machine was too busy to answer in time. */
	cr_expect_geq(program_count(&scene.server, "count"), 2000);
}
