// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Each allocation of a reload fails once: it is refused, and nothing of it is in force. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/thread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/load.h"
#include "proxy.h"
#include "unit/descriptors.h"
#include "unit/wrap_memory.h"

#define NOW     1000000 /* ms; any time */
#define WORKERS 2

static const char before[] =
	"lane: relay\nworkers: 2\n"
	"listeners:\n"
	"- {name: front, address: 127.0.0.1:9}\n"
	"- {name: gone, address: 127.0.0.1:11}\n"
	"routes: {upstream: web}\n"
	"upstreams:\n"
	"- {name: web, endpoints: [127.0.0.1:1, 127.0.0.1:2, \"name.test:80\"]}\n"
	"- {name: same, endpoints: 127.0.0.1:1}\n";

static const char after[] =
	"lane: relay\nworkers: 2\n"
	"listeners:\n"
	"- {name: front, address: 127.0.0.1:9, deny: 127.0.0.1, allow: 10.0.0.0/8}\n"
	"- {name: fresh, address: 127.0.0.1:10}\n"
	"- {name: another, address: 127.0.0.1:12, limits: {bandwidth: 1MB/s}}\n"
	"routes: {upstream: web}\n"
	"upstreams:\n"
	"- {name: web, balance: maglev, endpoints: [127.0.0.1:2, 127.0.0.1:3, 127.0.0.1:4,\n"
	"   127.0.0.1:5, 127.0.0.1:6, \"name.test:80\"]}\n"
	"- {name: other, endpoints: 127.0.0.1:1}\n"
	"- {name: same, endpoints: 127.0.0.1:1}\n";

/* Whichever ports are free, which a file cannot ask for. */
static void clear_ports(struct config *config)
{
	for (unsigned int i = 0; i < config->listener_count; i++)
		config->listeners[i].address.ipv4.sin_port = 0;
}

static struct config *loaded(const char *text)
{
	struct config_report report = {0};
	struct config *config;

	cr_assert_eq(config_load_text("f", text, strlen(text), &config, &report), 0, "of\n%s",
		     text);
	report_clear(&report);
	clear_ports(config);
	return config;
}

static struct proxy *started(const char *text)
{
	char path[] = "/tmp/reload_memory.XXXXXX";
	int fd = mkstemp(path);
	struct settings settings;
	struct proxy *proxy;

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	settings_init(&settings);
	settings.config_path = path;
	cr_assert_eq(proxy_new(&settings, &proxy), 0);
	unlink(path);
	clear_ports(proxy->plan->config);
	cr_assert_eq(proxy_listen(proxy, NULL), 0);
	cr_assert_eq(proxy_start(proxy, NULL, NULL), 0);
	/* Nobody else asks for memory any more. */
	cr_assert_eq(proxy_follow(proxy, loaded(text)), 0);
	return proxy;
}

/* What holds, as far as a flow would notice. */
static char *snapshot(const struct proxy *proxy)
{
	const struct plan *plan = proxy->plan;
	json_t *upstreams = json_array(), *limits = json_array();
	struct address source = plan->config->listeners[0].address;
	json_t *all = json_object();
	char *text;

	json_object_set_new(all, "upstreams", upstreams);
	json_object_set_new(all, "limits", limits);
	json_object_set_new(all, "descriptors", json_integer(open_descriptors()));
	json_object_set_new(all, "reloads", json_integer((json_int_t)proxy->reloads));
	for (unsigned int i = 0; i < plan->config->upstream_count; i++)
		json_array_append_new(upstreams, upstream_json(plan->upstreams[i], NOW));
	for (unsigned int i = 0; i < plan->config->listener_count; i++) {
		enum limit_verdict verdict = limit_admit(plan->limits[i], &source, NOW);

		if (verdict == LIMIT_ADMITTED)
			limit_release(plan->limits[i], &source);
		json_array_append_new(limits, json_integer(verdict));
	}
	for (unsigned int i = 0; i < proxy->shared.worker_count; i++)
		cr_assert_eq(proxy->shared.workers[i]->plan, plan, "worker %u", i);
	text = json_dumps(all, JSON_INDENT(1));
	json_decref(all);
	return text;
}

static void assert_same(const char *now, const char *then, unsigned int number)
{
	cr_assert_str_eq(now, then, "allocation %u: %s\ninstead of %s", number, now, then);
}

Test(reload_memory, each_reload_is_whole_or_not_at_all)
{
	const struct plan *running;
	unsigned int refused = 0;
	struct proxy *proxy;
	bool failed = true;

	evthread_use_pthreads();
	event_set_mem_functions(__wrap_malloc, __wrap_realloc, free);
	proxy = started(before);
	for (unsigned int number = 0; failed; number++) {
		struct config *config = loaded(after);
		char *then = snapshot(proxy), *now;
		int err;

		running = proxy->plan;
		allowed = number;
		err = proxy_follow(proxy, config);
		failed = allowed == -1U;
		allowed = -1U;
		now = snapshot(proxy);
		if (err) {
			cr_assert_eq(err, -ENOMEM, "allocation %u: %d", number, err);
			cr_assert_eq(proxy->plan, running);
			assert_same(now, then, number);
			refused++;
		} else {
			/* Whatever that memory was for, it was not needed. */
			cr_assert_eq(proxy->plan->config, config);
			cr_assert_not_null(strstr(now, "127.0.0.1:6"));
			cr_assert_eq(proxy_follow(proxy, loaded(before)), 0);
		}
		free(then);
		free(now);
	}
	cr_expect_gt(refused, 40);
	proxy_stop(proxy);
	proxy_join(proxy);
	proxy_free(proxy);
}
