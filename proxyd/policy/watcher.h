/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_WATCHER_H
#define PROXYD_WATCHER_H

/*
 * What the main thread does for the upstreams of the plan while the workers serve flows: active
 * health checks, and looking up names.
 */

#include <event2/event.h>

#include "policy/plan.h"

struct watcher;

/* Watch nothing yet. Returns 0 or -ENOMEM. */
int watcher_new(struct event_base *base, struct watcher **out);

/*
 * Watch the upstreams of this plan, those that it shares with the one before without a gap. Returns
 * 0, or -errno when something could not follow; what could, does. -EINVAL: a DNS server is no
 * address; -EIO: there is none, and /etc/resolv.conf cannot be read.
 */
int watcher_follow(struct watcher *watcher, const struct plan *plan);

/*
 * How many descriptors the watch over such a config may have open at once, leaving aside that
 * hundreds of endpoints are checked in parts: checks that hang, and what names are asked by.
 */
unsigned int watcher_descriptors(const struct config *config);

/* Before the event base. NULL is ignored. */
void watcher_free(struct watcher *watcher);

#endif
