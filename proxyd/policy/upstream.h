/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_UPSTREAM_H
#define PROXYD_UPSTREAM_H

/*
 * A pool of servers and who of them takes the next flow. An upstream and its endpoints outlive
 * a reload: they are found again by name and by address, with their health, counts and ejections.
 * Every function may be called from any thread; each upstream has one lock, held for a pick (a
 * quarter of a microsecond with a hundred endpoints; docs/balancing.md), never while a byte moves.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"

struct upstream;
struct upstream_draft;
struct endpoint;

/* `now_ms` everywhere is the monotonic clock, worker_now_ms(). */

/* Returns 0 or -errno. The config is copied as far as it is needed. */
int upstream_new(const struct config_upstream *config, uint64_t now_ms, struct upstream **out);

/*
 * All that can fail of following a new config of the same name, which must live as long as the
 * draft. Returns 0, or -ENOMEM with nothing changed.
 */
int upstream_draft_new(struct upstream *upstream, const struct config_upstream *config,
		       struct upstream_draft **out);
void upstream_draft_free(struct upstream_draft *draft); /* NULL is fine */

/*
 * Follow the config of the draft, which is taken over; the thread that resolves names may have told
 * nothing since it was made. Endpoints that stay keep their state; those that are gone take no new
 * flows and are freed with their last one.
 */
void upstream_follow(struct upstream *upstream, struct upstream_draft *draft, uint64_t now_ms);

struct upstream *upstream_ref(struct upstream *upstream);
void upstream_unref(struct upstream *upstream); /* NULL is fine */

const char *upstream_name(const struct upstream *upstream);

/* --- A flow's way -------------------------------------------------------------------------- */

#define UPSTREAM_TRIES_MAX 8

struct upstream_request {
	const struct address *source; /* the client */
	/* Endpoints that this flow has tried in vain; not picked again while another is there. */
	struct endpoint *const *tried;
	unsigned int tried_count;
	uint64_t now_ms;
	uint64_t random; /* a fresh random number */
};

/*
 * Pick an endpoint for a flow and count the flow there. The caller has a reference, which it gives
 * back with endpoint_release() when the flow ends or its connect fails. Returns 0; -EBUSY when
 * every usable endpoint has max_flows; -EAGAIN when no name has been resolved yet; -EHOSTUNREACH
 * when there is none (all were tried, drained, or have weight 0).
 */
int upstream_pick(struct upstream *upstream, const struct upstream_request *request,
		  struct endpoint **out);

/* Whether the retry budget allows one more try; it is taken from the budget if so. */
bool upstream_may_retry(struct upstream *upstream, uint64_t now_ms);

const struct address *endpoint_address(const struct endpoint *endpoint);
const char *endpoint_name(const struct endpoint *endpoint); /* "ADDR:PORT" */
struct upstream *endpoint_upstream(const struct endpoint *endpoint);

enum endpoint_event {
	ENDPOINT_CONNECTED,
	ENDPOINT_CONNECT_FAILED,
	ENDPOINT_RESET_EARLY, /* the endpoint reset the flow shortly after the connect */
	ENDPOINT_SERVED,      /* the flow outlived that */
};

/* What a flow saw of the endpoint: passive health. */
void endpoint_report(struct endpoint *endpoint, enum endpoint_event event, uint64_t now_ms);

/*
 * The flow has left the endpoint. Returns whether a flow of the upstream may be waiting for the
 * place that is free now (max_flows).
 */
bool endpoint_release(struct endpoint *endpoint);

/* --- Health and names ---------------------------------------------------------------------- */

/* The outcome of active checks. An upstream with checks starts with every endpoint up. */
void endpoint_set_health(struct endpoint *endpoint, bool up, const char *reason, uint64_t now_ms);

/*
 * A reference to each present endpoint, to check or to list. Returns the number, at most `room`;
 * endpoint_unref() gives each back.
 */
unsigned int upstream_endpoints(struct upstream *upstream, struct endpoint **endpoints,
				unsigned int room);
struct endpoint *endpoint_ref(struct endpoint *endpoint);
void endpoint_unref(struct endpoint *endpoint);

/* One address that a name or SRV record gave. */
struct resolved {
	struct address address;
	uint32_t weight; /* of the SRV record, 0 where there is none: the config's weight */
	bool backup;     /* an SRV record of a lower priority */
};

/*
 * The index of the config's endpoint that is written so: `index`, where that one is, else the first
 * one. Returns it, or -ENOENT.
 */
int upstream_entry(struct upstream *upstream, const char *text, unsigned int index);

/*
 * What the name of the config's endpoint `index` stands for now. An empty answer must not be given
 * for a failed look-up: the addresses before it stay in use. Returns 0 or -errno.
 */
int upstream_resolved(struct upstream *upstream, unsigned int index,
		      const struct resolved *addresses, unsigned int count, uint64_t now_ms);

/* --- Commands ------------------------------------------------------------------------------ */

/*
 * `endpoint`: as endpoint_name(), or as it was written in the config; a name stands for all its
 * addresses, also those that come later. Both hold through a reload; a weight only until the
 * config's weight of that endpoint changes. Return 0, -ENOENT, or -EINVAL for a weight above
 * ENDPOINT_WEIGHT_MAX.
 */
int upstream_drain(struct upstream *upstream, const char *endpoint, bool drain);
int upstream_set_weight(struct upstream *upstream, const char *endpoint, uint32_t weight);

/* For `proxyd status`: balance, and each endpoint with its state and counts. */
json_t *upstream_json(struct upstream *upstream, uint64_t now_ms);

#endif
