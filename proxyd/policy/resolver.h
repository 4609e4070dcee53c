/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_RESOLVER_H
#define PROXYD_RESOLVER_H

/*
 * Gives upstreams the addresses of their endpoints' names and SRV records, and follows them
 * (docs/health.md has the rules). On the main thread's event base; nothing here waits.
 */

#include <event2/event.h>

#include "config/config.h"
#include "policy/upstream.h"

struct name_times;
struct resolver;

/* More addresses of one name or SRV record than this are left out. */
#define RESOLVED_MAX 256

/*
 * `servers`: numeric addresses, with or without a port; empty: those of /etc/resolv.conf. Returns
 * 0, -EINVAL for a server that is none, -EIO where resolv.conf cannot be read, or -ENOMEM.
 */
int resolver_new(struct event_base *base, const struct string_list *servers, struct resolver **out);

/*
 * For a reload: ask these from now on; /etc/resolv.conf is read again. As resolver_new(), with
 * nothing changed on failure.
 */
int resolver_set_servers(struct resolver *resolver, const struct string_list *servers);

/*
 * Keep the upstream's names resolved, as the config has them: upstream_resolved() for each as soon
 * as it is known, from within where it already is. Again for the same upstream: follow another
 * config of it, without asking again for what is known. Takes a reference to the upstream. Returns
 * 0, or -ENOMEM with nothing changed.
 */
int resolver_watch(struct resolver *resolver, struct upstream *upstream,
		   const struct config_upstream *config);

/* Also for an upstream that is not watched. */
void resolver_unwatch(struct resolver *resolver, struct upstream *upstream);

/* For tests that cannot wait (policy/name.h): before the first watch. */
struct name_times *resolver_times(struct resolver *resolver);

void resolver_free(struct resolver *resolver);

#endif
