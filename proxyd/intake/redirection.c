// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/redirection.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "intake/netfilter.h"

/* A client that does not acknowledge what is left for it holds proxyd's end up no longer. */
#define TAIL_S 3

struct redirection {
	struct netfilter *netfilter; /* NULL: the rules are somebody else's */
	bool closed;                 /* they outlive proxyd */
	unsigned int port;           /* of the listener */
	bool began;
	bool removed; /* at the end */
};

int redirection_new(const struct config_listener *listener, struct redirection **out)
{
	struct redirection *redirection = calloc(1, sizeof(*redirection));
	int err = redirection ? 0 : -ENOMEM;

	if (!err && listener->intercept.rules == INTERCEPT_RULES_INSTALL)
		err = netfilter_new(&redirection->netfilter);
	if (err) {
		free(redirection);
		return err;
	}
	redirection->closed = listener->intercept.on_exit == INTERCEPT_EXIT_CLOSED;
	*out = redirection;
	return 0;
}

/*
 * Whether the kernel still sends what was left in the sockets of a port at their close(2): without
 * translation it would come from an address that the client does not know.
 */
static bool has_tail(unsigned int port, const char *table)
{
	/* Of enum tcp_states: FIN_WAIT1, LAST_ACK, CLOSING. */
	static const unsigned int waiting = 1u << 4 | 1u << 9 | 1u << 11;
	FILE *sockets = fopen(table, "r");
	unsigned int local, state;
	char line[256];
	bool found = false;

	while (sockets && !found && fgets(line, sizeof(line), sockets))
		found = sscanf(line, " %*[^:]: %*[^:]:%x %*s %x", &local, &state) == 2 &&
			local == port && state < 32 && waiting >> state & 1;
	if (sockets)
		fclose(sockets);
	return found;
}

static void await_tail(unsigned int port)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

	for (int i = 0; i < TAIL_S * 50; i++) {
		if (!has_tail(port, "/proc/self/net/tcp") && !has_tail(port, "/proc/self/net/tcp6"))
			return;
		nanosleep(&pause, NULL);
	}
}

void redirection_free(struct redirection *redirection)
{
	if (!redirection)
		return;
	if (redirection->netfilter && redirection->removed)
		await_tail(redirection->port);
	if (redirection->netfilter && redirection->removed)
		netfilter_remove(redirection->netfilter);
	netfilter_free(redirection->netfilter);
	free(redirection);
}

int redirection_follow(struct redirection *redirection, const struct config_listener *listener)
{
	const struct ruleset_form form = {.owned = !redirection->closed};
	int err;

	if (!redirection->netfilter)
		return 0;
	err = netfilter_put(redirection->netfilter, listener, &form);
	redirection->port = ntohs(listener->address.ipv4.sin_port);
	redirection->began = redirection->began || !err;
	redirection->removed = redirection->removed && err;
	return err;
}

void redirection_end(struct redirection *redirection, const struct config_listener *listener,
		     bool for_good)
{
	const struct ruleset_form form = {.owned = !redirection->closed, .draining = true};

	if (!redirection->began || (redirection->closed && !for_good))
		return;
	redirection->began = false;
	redirection->removed = true;
	netfilter_put(redirection->netfilter, listener, &form);
}
