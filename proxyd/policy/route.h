/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ROUTE_H
#define PROXYD_ROUTE_H

#include "config/config.h"
#include "intake/inspect.h"

/* What is known of a new connection. */
struct route_facts {
	const char *listener;
	const struct address *source;
	const struct address *destination; /* original destination; NULL or length 0: unknown */
	const struct inspected *inspected; /* NULL: not yet looked at */
};

enum route_result {
	ROUTE_FOUND,
	ROUTE_INSPECT, /* it depends on the first bytes: inspect, then ask again */
	ROUTE_NONE,    /* no route matches */
};

/*
 * The first route of the config that matches. Inspection is asked for only if a route whose other
 * conditions all fit depends on it, so that where no route asks, no client is waited for (a
 * server-first protocol would wait for ever).
 */
enum route_result route_find(const struct config *config, const struct route_facts *facts,
			     const struct config_route **out);

/*
 * Whether `name` fits `pattern`: the same, or one more label (not more, not less) under "*.rest";
 * "*" alone is any name. No name, "", fits nothing. Both lower case.
 */
bool route_name_fits(const char *pattern, const char *name);

#endif
