// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Other names, and other servers, while questions are asked. */
#include <errno.h>
#include <string.h>

#include "scene.h"
#include "update.h"

TestSuite(resolver_reload, .init = scene_open, .fini = scene_close);

/* What is known is told at once, and not asked for again. */
Test(resolver_reload, another_config)
{
	scene_add(ENDPOINT_NAME, "a.test");
	scene_add(ENDPOINT_SRV, "_http._tcp.test");
	tell("set a.test A 60 127.0.0.1");
	tell("set b.test A 60 127.0.0.2");
	tell("set _http._tcp.test SRV 60 0 1 81 a.test");
	scene_start();
	scene_expect(0, "127.0.0.1:80");
	scene_expect(1, "127.0.0.1:81*1");
	program_count(&scene.server, "count");
	for (unsigned int i = 0; i < 1000; i++) {
		memset(told, 0, sizeof(told[0]) * 2);
		cr_assert_eq(upstream_update(scene.upstream, &scene.config, clock_ms()), 0);
		scene_watch();
		cr_assert_str_eq(scene_text(0), "127.0.0.1:80");
		cr_assert_str_eq(scene_text(1), "127.0.0.1:81*1");
	}
	scene_run(50);
	cr_expect_eq(program_count(&scene.server, "count"), 0);
	/* The other way round, and one more. */
	memset(told, 0, sizeof(told[0]) * 3);
	scene.config.endpoint_count = 0;
	scene_add(ENDPOINT_SRV, "_http._tcp.test");
	scene_add(ENDPOINT_NAME, "b.test");
	scene_add(ENDPOINT_NAME, "A.Test");
	cr_assert_eq(upstream_update(scene.upstream, &scene.config, clock_ms()), 0);
	scene_watch();
	cr_expect_str_eq(scene_text(0), "127.0.0.1:81*1");
	cr_expect_str_eq(scene_text(2), "127.0.0.1:80");
	scene_expect(1, "127.0.0.2:80");
	cr_expect_eq(program_count(&scene.server, "count a.test"), 0);
	/* Without names there is nobody to ask for. */
	scene.config.endpoint_count = 0;
	cr_assert_eq(upstream_update(scene.upstream, &scene.config, clock_ms()), 0);
	scene_watch();
	resolver_unwatch(scene.resolver, scene.upstream);
	resolver_unwatch(scene.resolver, scene.upstream);
}

/* As when there was no memory to watch the new config: the old watch knows its names yet. */
Test(resolver_reload, another_config_that_is_not_watched)
{
	scene_add(ENDPOINT_NAME, "a.test");
	scene_add(ENDPOINT_NAME, "b.test");
	tell("set a.test A 1 127.0.0.1");
	tell("set b.test A 1 127.0.0.2");
	scene_start();
	scene_expect(0, "127.0.0.1:80");
	scene_expect(1, "127.0.0.2:80");
	scene.config.endpoint_count = 0;
	scene_add(ENDPOINT_NAME, "c.test");
	scene_add(ENDPOINT_NAME, "a.test");
	memset(told, 0, sizeof(told[0]) * 2);
	cr_assert_eq(upstream_update(scene.upstream, &scene.config, clock_ms()), 0);
	tell("set b.test A 1 127.0.0.3");
	tell("set a.test A 1 127.0.0.4");
	scene_expect(1, "127.0.0.4:80");
	scene_run(1500);
	cr_expect_str_eq(scene_text(1), "127.0.0.4:80");
	cr_expect_eq(told[0].calls, 0, "c.test is %s", scene_text(0));
}

/* From servers that are dead, or busy with a question, to one that is alive. */
Test(resolver_reload, other_servers)
{
	const struct string_list alive = {.items = scene.server_list, .count = 1};
	char dead[] = "127.0.0.254:9", bad[] = "no address";
	char *dead_list[] = {dead}, *bad_list[] = {bad};
	const struct string_list nobody = {.items = dead_list, .count = 1};
	const struct string_list none = {.items = bad_list, .count = 1};
	double took = 2000;

	scene_add(ENDPOINT_NAME, "a.test");
	tell("set a.test A 60 127.0.0.1");
	for (unsigned int i = 1; i <= 5; i++) {
		char name[16];

		snprintf(name, sizeof(name), "mute%u.test", i);
		scene_add(ENDPOINT_NAME, name);
		tell("set %s A 60 127.0.0.2", name);
		tell("mute %s", name);
	}
	scene_prepare();
	cr_expect_eq(resolver_set_servers(scene.resolver, &none), -EINVAL);
	cr_assert_eq(resolver_set_servers(scene.resolver, &nobody), 0);
	resolver_times(scene.resolver)->retry_min = 60000;
	scene_watch();
	scene_run(300);
	cr_expect_eq(told[0].calls, 0);
	cr_assert_eq(resolver_set_servers(scene.resolver, &alive), 0);
	cr_expect_lt(scene_expect(0, "127.0.0.1:80"), 30000, "by the next try");
	/* By itself the question would be asked again after 2 s; a busy machine takes some, too. */
	for (unsigned int i = 1; i <= 5 && took >= 1500; i++) {
		tell("heal mute%u.test", i);
		cr_assert_eq(resolver_set_servers(scene.resolver, &alive), 0);
		took = scene_expect(i, "127.0.0.2:80");
	}
	cr_expect_lt(took, 1500);
}

/* What c-ares lets pass ("1.2.3") the config has refused before. */
Test(resolver_reload, bad_servers)
{
	char *texts[] = {"localhost", "127.0.0.1:http"};
	struct resolver *resolver = NULL;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const struct string_list list = {.items = &texts[i], .count = 1};

		cr_expect_eq(resolver_new(scene.base, &list, &resolver), -EINVAL, "%s", texts[i]);
		cr_expect_null(resolver);
	}
}

/* In every state that a question can be in; the sanitizers look. */
Test(resolver_reload, free_while_questions_are_under_way)
{
	scene_add(ENDPOINT_NAME, "a.test");
	scene_add(ENDPOINT_SRV, "_http._tcp.test");
	scene_add(ENDPOINT_NAME, "mute.test");
	scene_add(ENDPOINT_NAME, "cut.test");
	tell("set a.test A 1 127.0.0.1");
	tell("set _http._tcp.test SRV 1 0 1 81 a.test, 0 1 82 mute.test");
	tell("mute mute.test");
	tell("cut cut.test");
	tell("slow cut.test 20");
	for (unsigned int i = 0; i < 20; i++) {
		scene_start();
		scene_run(i * 3);
		if (i % 3 == 1)
			resolver_unwatch(scene.resolver, scene.upstream);
		if (i % 3 == 2)
			scene_watch();
		if (i == 19)
			break;
		resolver_free(scene.resolver);
		upstream_unref(scene.upstream);
	}
}
