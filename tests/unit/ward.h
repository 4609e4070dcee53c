#pragma once

/*
 * A ward: a server (backend.py), an upstream with it alone, and its checks. What they say of the
 * endpoints is noted down. Link with -Wl,--wrap=endpoint_set_health.
 */

#include <criterion/criterion.h>
#include <event2/event.h>

#include "clock.h"
#include "policy/health.h"
#include "policy/upstream.h"
#include "program.h"

#define WARD_ENDPOINTS 300
#define WARD_TURNS     1024

/* A call of endpoint_set_health(). */
struct turn {
	char endpoint[ADDRESS_TEXT];
	char reason[64];
	bool up;
};

extern struct turn turns[WARD_TURNS];
extern unsigned int turn_count;

/* Of this process, at any turn. */
extern unsigned int most_descriptors;

struct ward {
	struct event_base *base;
	struct program backend;
	struct config_endpoint endpoints[WARD_ENDPOINTS];
	char texts[WARD_ENDPOINTS][ADDRESS_TEXT];
	struct port_range statuses[2];
	struct config_upstream config;
	struct upstream *upstream;
	struct health *health;
};

/* The config: one endpoint, the server, checked by GET every 50 ms; rise 2, fall 3. */
void ward_open(struct ward *ward);

void ward_add_endpoint(struct ward *ward, const char *host, unsigned int port);

/* Begin to check. */
void ward_start(struct ward *ward);

void ward_close(struct ward *ward);

/* Let events happen for a while. */
void ward_run(struct ward *ward, unsigned int milliseconds);

/*
 * Until there are `count` turns in all. Returns the last of them; no other check of its endpoint
 * has begun by then.
 */
const struct turn *ward_wait(struct ward *ward, unsigned int count);

/* The same; it is to be this one. */
void ward_expect(struct ward *ward, unsigned int count, bool up, const char *reason);
