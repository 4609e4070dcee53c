/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_HEALTH_H
#define PROXYD_HEALTH_H

/*
 * Active checks of an upstream: every endpoint is looked at once an interval (policy/check.h), and
 * goes down and comes back by what was seen some times in a row. On the main thread's event base;
 * workers see nothing of it but the endpoints' state (upstream.h).
 */

#include <event2/event.h>

#include "config/config.h"
#include "policy/upstream.h"

struct health;

/*
 * Check the endpoints of `upstream`, those too that come later. Takes a reference to the upstream
 * and copies what it needs of the config; with HEALTH_NONE nothing is checked until an update says
 * otherwise. Returns 0 or -ENOMEM.
 */
int health_new(struct event_base *base, struct upstream *upstream,
	       const struct config_health *config, const struct config_tcp *tcp,
	       struct health **out);

/*
 * Follow a new config. Endpoints keep their state and what was seen in a row; checks under way end
 * as they began. Without checks from now on, what they had taken out is back. Returns 0, or -ENOMEM
 * with nothing changed.
 */
int health_update(struct health *health, const struct config_health *config,
		  const struct config_tcp *tcp);

/* Checks under way are broken off; the endpoints stay as they are. */
void health_free(struct health *health);

#endif
