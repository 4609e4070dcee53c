// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Plans that cannot be taken on: nothing of them may stay. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config/load.h"
#include "control/access_log.h"
#include "intake/listener.h"
#include "policy/plan.h"
#include "proxy.h"
#include "unit/descriptors.h"

#define NOW     1000000 /* ms; any time */
#define WORKERS 4

static int follow_failures, claims_left;
static bool intercepted;

/* An interception takes privileges: the linker has plan.c and follow.c call these (-Wl,--wrap). */
int __wrap_interception_new(const struct config_listener *listener, const char *own_cgroup,
			    struct claims *claims, struct interception **out);
struct interception *__wrap_interception_ref(struct interception *interception);
void __wrap_interception_unref(struct interception *interception);
int __wrap_interception_follow(struct interception *interception,
			       const struct config_listener *listener);
void __wrap_interception_end(struct interception *interception,
			     const struct config_listener *listener, bool for_good);
int __wrap_interception_claim(const struct interception *interception, int listening);
bool __wrap_interception_has_table(const struct interception *interception,
				   const struct config_listener *listener);

int __wrap_interception_new(const struct config_listener *listener, const char *own_cgroup,
			    struct claims *claims, struct interception **out)
{
	static char somebody;

	(void)listener;
	(void)own_cgroup;
	(void)claims;
	*out = (struct interception *)(void *)&somebody;
	return 0;
}

struct interception *__wrap_interception_ref(struct interception *interception)
{
	return interception;
}

void __wrap_interception_unref(struct interception *interception)
{
	(void)interception;
}

int __wrap_interception_follow(struct interception *interception,
			       const struct config_listener *listener)
{
	(void)interception;
	(void)listener;
	if (follow_failures && follow_failures--)
		return -ENODEV;
	intercepted = true;
	return 0;
}

void __wrap_interception_end(struct interception *interception,
			     const struct config_listener *listener, bool for_good)
{
	(void)listener;
	(void)for_good;
	if (interception)
		intercepted = false;
}

int __wrap_interception_claim(const struct interception *interception, int listening)
{
	(void)interception;
	(void)listening;
	return claims_left-- ? 0 : -EEXIST;
}

bool __wrap_interception_has_table(const struct interception *interception,
				   const struct config_listener *listener)
{
	(void)interception;
	(void)listener;
	return false;
}

static struct config *loaded(const char *text)
{
	struct config_report report = {0};
	struct config *config;

	cr_assert_eq(config_load_text("f", text, strlen(text), &config, &report), 0, "of\n%s",
		     text);
	report_clear(&report);
	return config;
}

static struct plan *planned(const char *text, const struct plan *previous)
{
	struct plan *plan;

	cr_assert_eq(plan_new(loaded(text), previous, NOW, &plan), 0);
	return plan;
}

#define ROUTES "routes: {upstream: web}\n"

static const char before[] = "listeners: {name: front, address: 127.0.0.1:9}\n" ROUTES
			     "upstreams: {name: web, endpoints: 127.0.0.1:80}\n";

static const char after[] = "listeners:\n"
			    "- {name: front, address: 127.0.0.1:9, deny: 0.0.0.0/0}\n"
			    "- address: 127.0.0.1:10\n"
			    "  intercept: {mode: steer, interfaces: eth9}\n" ROUTES
			    "upstreams: {name: web, endpoints: other.test:80}\n";

/* What a plan shares with the one before follows it only when nothing can go wrong any more. */
Test(plan, one_that_cannot_intercept_changes_nothing)
{
	struct plan *plan = planned(before, NULL), *next = planned(after, plan);
	const struct upstream_request request = {.source = &plan->config->listeners[0].address,
						 .now_ms = NOW};
	struct endpoint *endpoint;

	cr_assert_eq(plan_commit(plan, NOW), 0);
	follow_failures = 1;
	cr_expect_eq(plan_commit(next, NOW), -ENODEV);
	plan_abandon(next, plan);
	plan_unref(next);
	cr_expect_eq(limit_admit(plan->limits[0], request.source, NOW), LIMIT_ADMITTED);
	cr_assert_eq(upstream_pick(plan->upstreams[0], &request, &endpoint), 0);
	cr_expect_str_eq(endpoint_name(endpoint), "127.0.0.1:80");
	endpoint_release(endpoint);
	plan_unref(plan);
}

static const char intercepting[] = "listeners:\n"
				   "- address: 127.0.0.1:9\n"
				   "  intercept: {mode: steer, interfaces: eth9}\n" ROUTES
				   "upstreams: {name: web, endpoints: 127.0.0.1:80}\n";

/* A socket that nobody accepts from, with SO_REUSEPORT, would take its share of the clients. */
Test(plan, sockets_that_cannot_be_claimed_are_closed)
{
	struct proxy proxy = {.settings.workers = WORKERS, .plan = planned(intercepting, NULL)};
	int open = open_descriptors();

	for (int i = 0; i < WORKERS; i++) {
		claims_left = i;
		proxy.plan->config->listeners[0].address.ipv4.sin_port = 0;
		cr_expect_eq(proxy_listen(&proxy, NULL), -PROXY_EXIT_LISTEN);
		cr_expect_eq(open_descriptors(), open, "after %d claims", i);
	}
	plan_unref(proxy.plan);
}

/* Who connects to where nobody listens any more is refused, whereas without `intercept` he is not.
 */
Test(plan, a_listener_that_was_drained_intercepts_nothing)
{
	bool listening = true;
	struct proxy proxy = {.settings.workers = 1,
			      .listening = &listening,
			      .plan = planned(intercepting, NULL)};
	struct config *next = loaded(intercepting);

	cr_assert_eq(plan_commit(proxy.plan, NOW), 0);
	cr_assert(intercepted);
	cr_assert_eq(proxy_drain_listener(&proxy, "listener-1"), 0);
	cr_assert_not(intercepted);
	/* Whichever port is free. */
	proxy.plan->config->listeners[0].address.ipv4.sin_port = 0;
	next->listeners[0].address.ipv4.sin_port = 0;
	claims_left = 1;
	follow_failures = 1;
	cr_expect_eq(proxy_follow(&proxy, next), -ENODEV);
	cr_expect_not(intercepted);
	plan_unref(proxy.plan);
}

static const char on_loopback[] = "listeners: {name: front, address: 127.0.0.1:9}\n" ROUTES
				  "upstreams: {name: web, endpoints: 127.0.0.1:80}\n";

static const char on_all[] = "listeners: {name: front, address: 0.0.0.0:9}\n" ROUTES
			     "upstreams: {name: web, endpoints: 127.0.0.1:80}\n";

/* Of what is in the way of a listener on all addresses one belongs to proxyd, and goes. */
Test(plan, a_listener_may_change_its_address_and_keep_its_port)
{
	struct proxy proxy = {.settings.workers = WORKERS,
			      .listening = calloc(1, sizeof(bool)),
			      .plan = planned(on_loopback, NULL)};
	struct config_listener *front = &proxy.plan->config->listeners[0];
	struct config *next = loaded(on_all);
	int old, other;

	cr_assert_eq(access_log_new(&proxy.shared.access_log), 0);
	front->address.ipv4.sin_port = 0;
	old = listener_open(front);
	cr_assert_geq(old, 0);
	cr_assert_eq(getsockname(old, &front->address.any, &front->address.length), 0);
	proxy.listening[0] = true;
	next->listeners[0].address.ipv4.sin_port = front->address.ipv4.sin_port;
	cr_expect_eq(proxy_follow(&proxy, next), 0);
	/* Anybody else's port is refused as ever. */
	other = listener_open(&proxy.plan->config->listeners[0]);
	cr_assert_geq(other, 0);
	proxy.listening[0] = false;
	next = loaded(on_loopback);
	next->listeners[0].address.ipv4.sin_port =
		proxy.plan->config->listeners[0].address.ipv4.sin_port;
	cr_expect_eq(proxy_follow(&proxy, next), -EADDRINUSE);
	close(old);
	close(other);
	plan_unref(proxy.plan);
	access_log_free(proxy.shared.access_log);
	free(proxy.listening);
}

static const char logging[] =
	"listeners: {name: front, address: 127.0.0.1:9}\n" ROUTES "access_log: {to: /dev/null}\n"
	"upstreams: {name: web, endpoints: 127.0.0.1:80}\n";

/* A reload that would leave flows unrecorded is refused, as one whose log cannot be opened. */
Test(plan, an_access_log_that_cannot_be_begun_is_refused)
{
	struct proxy proxy = {.settings.workers = WORKERS, .plan = planned(on_loopback, NULL)};
	struct plan *running = proxy.plan;
	struct rlimit limit, full;
	struct config *next = loaded(logging);

	cr_assert_eq(access_log_new(&proxy.shared.access_log), 0);
	proxy.listening = calloc(1, sizeof(bool));
	proxy.listening[0] = true;
	/* The file can be opened, and no more. */
	getrlimit(RLIMIT_NOFILE, &limit);
	full = limit;
	full.rlim_cur = (rlim_t)dup(STDERR_FILENO) + 1;
	close((int)full.rlim_cur - 1);
	setrlimit(RLIMIT_NOFILE, &full);
	cr_expect_eq(proxy_follow(&proxy, next), -EMFILE);
	cr_expect_eq(proxy.plan, running);
	setrlimit(RLIMIT_NOFILE, &limit);
	cr_expect_eq(proxy_follow(&proxy, loaded(logging)), 0);
	cr_expect(access_log_wants(proxy.shared.access_log));
	plan_unref(proxy.plan);
	access_log_free(proxy.shared.access_log);
	free(proxy.listening);
}
