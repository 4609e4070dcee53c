/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_LOCAL_ROUTE_H
#define PROXYD_LOCAL_ROUTE_H

/*
 * Delivers packets to this host that are for other addresses: rules of policy routing that lead to
 * a table of the listener's own, whose only route is `local default`. For the main thread only.
 */

#include <stdio.h>

#include "config/config.h"

struct local_route;

/* Returns 0 or -ENOMEM. */
int local_route_new(struct local_route **out);

/*
 * Make it so for a listener, whose port is known. Returns 0, or -errno when it has said what went
 * wrong.
 */
int local_route_follow(struct local_route *route, const struct config_listener *listener);

/* Rules and route go. */
void local_route_remove(struct local_route *route);

/* Rules and route stay as they are. NULL is fine. */
void local_route_free(struct local_route *route);

/* Write the commands of ip(8) that do the same. Returns 0 or -errno. */
int local_route_print(FILE *out, const struct config_listener *listener);

/* Remove all that is left of them in this network namespace, and count the rules. */
int local_route_clear(unsigned int *count);

#endif
