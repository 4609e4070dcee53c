/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PLAN_H
#define PROXYD_PLAN_H

/*
 * A config at work: its upstreams and limits, which outlive a reload, beside it. A reload makes a
 * new plan and gives each worker a reference; flows that are being set up keep the one that they
 * began with. Nobody changes a plan once it is in use.
 */

#include <stdatomic.h>

#include "config/config.h"
#include "flow/bandwidth.h"
#include "intake/interception.h"
#include "policy/limit.h"
#include "policy/upstream.h"

struct plan {
	atomic_uint references;
	struct config *config;
	struct upstream **upstreams; /* by index in the config */
	struct limit **limits;       /* of the listeners, by index in the config */
	/* Until plan_commit(): how those follow that are of the plan before; NULL: it is new. */
	struct upstream_draft **next_upstreams;
	struct limit_rules **next_limits;
	struct bandwidth **bandwidths;
	struct claims *claims;               /* NULL: nobody can be asked */
	struct interception **interceptions; /* NULL where the listener has none */
	struct interception **retired;       /* of listeners that are gone, flows may not be */
	unsigned int retired_count;
	bool needs_destination; /* a route or an upstream asks for it */
};

/*
 * Make a plan. Takes `config` over, whatever it returns. What `previous` (may be NULL) has under
 * the same name is taken on; it follows the new config only at plan_commit(), so that a plan can
 * still be dropped. Returns 0 or -errno.
 */
int plan_new(struct config *config, const struct plan *previous, uint64_t now_ms,
	     struct plan **out);

/* Intercept what the plan says, once somebody accepts it. Returns 0 or -errno. */
int plan_intercept(struct plan *plan);

/*
 * End what the plan intercepts, but for what `next` (may be NULL) goes on with.
 */
void plan_release(struct plan *plan, struct plan *next);

/*
 * Let go of what has retired, when the next plan is in force. To be called by who has made the
 * plan, of which a flow that is not connected yet may have the last reference: to take rules away
 * is nothing for a worker's thread, and what only such a flow holds would count as needed.
 */
void plan_forget(struct plan *plan);

/* The plan is not taken on after all: end what is new in it, and go on as `current` says. */
void plan_abandon(struct plan *plan, struct plan *current);

/*
 * From now on the plan is what holds. Returns 0, or -errno with nothing changed but what is
 * intercepted (plan_abandon()).
 */
int plan_commit(struct plan *plan, uint64_t now_ms);

struct plan *plan_ref(struct plan *plan);
void plan_unref(struct plan *plan); /* NULL is fine */

#endif
