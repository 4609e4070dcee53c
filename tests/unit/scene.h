#pragma once

/*
 * A server of names (name_server.py), an upstream with endpoints that are names, and its resolver.
 * What the upstream is told of them is noted down. Link with -Wl,--wrap=upstream_resolved.
 */

#include <criterion/criterion.h>
#include <event2/event.h>

#include "clock.h"
#include "policy/name.h"
#include "policy/resolver.h"
#include "program.h"

#define SCENE_ENDPOINTS 1000

/* The last call of upstream_resolved() for an endpoint of the config. */
struct told {
	unsigned int calls;
	unsigned int count;
	double at_ms;
	struct resolved addresses[RESOLVED_MAX];
};

extern struct told told[SCENE_ENDPOINTS];

struct scene {
	struct event_base *base;
	struct program server;
	struct config_endpoint endpoints[SCENE_ENDPOINTS];
	char names[SCENE_ENDPOINTS][32];
	struct config_upstream config;
	struct upstream *upstream;
	struct resolver *resolver;
	char server_text[32];
	char *server_list[1];
	/* The loop's longest turn, of those that end every ms. */
	struct event *tick;
	double last_tick, longest;
	unsigned int ticks;
};

/* A test's own: open from its beginning to its end (TestSuite, .init and .fini). */
extern struct scene scene;

void scene_open(void);
void scene_close(void);

double scene_now_ms(void);

/* To the server. */
#define tell(...) program_tell(&scene.server, __VA_ARGS__)

/* One more endpoint in the config. */
void scene_add(enum endpoint_kind kind, const char *host);

/* The upstream and the resolver; watch the config's names; both. */
void scene_prepare(void);
void scene_watch(void);
void scene_start(void);

/* Let events happen for a while. */
void scene_run(unsigned int milliseconds);

/* "127.0.0.1:80 127.0.0.2:80*3 [::1]:80!": with the weight, and ! for a backup. */
const char *scene_text(unsigned int index);

/* Until that is what the upstream was told. Returns the ms that it took. */
double scene_expect(unsigned int index, const char *expected);

/*
 * The same. Returns the ms from what the upstream was told before, which is when the answer came,
 * however late this test looks. There is no upper limit but that of scene_expect(): the machine may
 * be busy.
 */
double scene_expect_next(unsigned int index, const char *expected);
