// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/redirection.h"

#include <errno.h>
#include <stdlib.h>

#include "intake/listener.h"
#include "intake/local_route.h"
#include "intake/netfilter.h"

struct redirection {
	struct netfilter *netfilter; /* NULL: the rules are somebody else's */
	struct local_route *route;   /* of mode tproxy */
	bool closed;                 /* they outlive proxyd */
	unsigned int port;           /* that accepted connections have; 0: any */
	bool began;
	bool stops;   /* with proxyd */
	bool removed; /* at the end */
};

int redirection_new(const struct config_listener *listener, struct redirection **out)
{
	struct redirection *redirection = calloc(1, sizeof(*redirection));
	int err = redirection ? 0 : -ENOMEM;

	if (!err && listener->intercept.rules == INTERCEPT_RULES_INSTALL)
		err = netfilter_new(&redirection->netfilter);
	if (!err && redirection->netfilter && listener->intercept.mode == INTERCEPT_TPROXY)
		err = local_route_new(&redirection->route);
	if (err) {
		redirection_free(redirection);
		return err;
	}
	redirection->closed = listener->intercept.on_exit == INTERCEPT_EXIT_CLOSED;
	*out = redirection;
	return 0;
}

void redirection_free(struct redirection *redirection)
{
	if (!redirection)
		return;
	if (redirection->netfilter && redirection->removed && redirection->stops)
		listener_await_tail(redirection->port);
	if (redirection->netfilter && redirection->removed)
		netfilter_remove(redirection->netfilter);
	if (redirection->route && (!redirection->closed || redirection->removed))
		local_route_remove(redirection->route);
	netfilter_free(redirection->netfilter);
	local_route_free(redirection->route);
	free(redirection);
}

bool redirection_has_tail(const struct redirection *redirection)
{
	return redirection->netfilter && redirection->removed &&
	       listener_has_tail(redirection->port);
}

int redirection_follow(struct redirection *redirection, const struct config_listener *listener)
{
	const struct ruleset_form form = {.owned = !redirection->closed};
	int err = 0;

	if (!redirection->netfilter)
		return 0;
	if (redirection->route)
		err = local_route_follow(redirection->route, listener);
	if (!err)
		err = netfilter_put(redirection->netfilter, listener, &form);
	redirection->port = redirection->route ? 0 : ntohs(listener->address.ipv4.sin_port);
	redirection->began = redirection->began || !err;
	redirection->removed = redirection->removed && err;
	return err;
}

void redirection_end(struct redirection *redirection, const struct config_listener *listener,
		     bool for_good)
{
	const struct ruleset_form form = {.owned = !redirection->closed, .draining = true};

	redirection->stops = !for_good;
	if (!redirection->began || (redirection->closed && !for_good))
		return;
	redirection->began = false;
	redirection->removed = true;
	netfilter_put(redirection->netfilter, listener, &form);
}
