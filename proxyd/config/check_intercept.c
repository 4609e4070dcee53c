// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What listeners intercept. */
#include <string.h>

#include "config/check.h"

#include <string.h>

#include "sidelane/mark.h"

/* ---- What follows ------------------------------------------------------------------------- */

static bool is_given(const struct config_intercept *intercept)
{
	return intercept->on_exit || intercept->rules || intercept->traffic || intercept->cgroup ||
	       intercept->interfaces.count || intercept->destinations.count ||
	       intercept->exclude.count || intercept->ports.count || intercept->users.count;
}

static void complete(struct config_intercept *intercept)
{
	/* An older file has no `mode`. */
	if (!intercept->mode && is_given(intercept))
		intercept->mode = INTERCEPT_CONNECT;
	if (!intercept->mode)
		return;
	if (!intercept->on_exit)
		intercept->on_exit = INTERCEPT_EXIT_OPEN;
	if (intercept->mode == INTERCEPT_CONNECT)
		return;
	if (!intercept->rules)
		intercept->rules = INTERCEPT_RULES_INSTALL;
	if (!intercept->traffic && intercept->mode != INTERCEPT_STEER)
		intercept->traffic = intercept->cgroup || intercept->users.count ? INTERCEPT_LOCAL
										 : INTERCEPT_ROUTED;
}

/* Rules of this host know proxyd's own connections by their mark; programs at a cgroup need none.
 */
void complete_intercepts(struct config *config)
{
	bool marked = false;

	for (unsigned int i = 0; i < config->listener_count; i++) {
		complete(&config->listeners[i].intercept);
		marked = marked || config->listeners[i].intercept.mode > INTERCEPT_CONNECT;
	}
	if (!marked)
		return;
	config->direct.tcp.mark |= SL_MARK_OWN;
	for (unsigned int i = 0; i < config->upstream_count; i++)
		config->upstreams[i].tcp.mark |= SL_MARK_OWN;
}

/* ---- Sense -------------------------------------------------------------------------------- */

static void say(struct check *check, unsigned int listener, const char *key, const char *what)
{
	char path[CHECK_PATH];

	check_say(check, REPORT_ERROR, check_path(path, "listeners[%u].intercept%s", listener, key),
		  "%s", what);
}

static bool takes(const struct address *address, int family)
{
	return address->any.sa_family == family || (family == AF_INET && address_is_any(address));
}

/* Programs of both would rewrite an address, and which of them comes first is not for a file to
 * say. */
static void check_alone(struct check *check, unsigned int index)
{
	const struct config_listener *listeners = check->config->listeners;
	const struct config_listener *own = &listeners[index];
	char path[CHECK_PATH];

	for (unsigned int i = 0; i < index; i++) {
		const struct config_listener *other = &listeners[i];
		bool ipv4 = takes(&own->address, AF_INET) && takes(&other->address, AF_INET);
		bool ipv6 = takes(&own->address, AF_INET6) && takes(&other->address, AF_INET6);

		if (other->intercept.mode != INTERCEPT_CONNECT || !other->intercept.cgroup ||
		    strcmp(own->intercept.cgroup, other->intercept.cgroup) != 0 || (!ipv4 && !ipv6))
			continue;
		check_say(
			check, REPORT_ERROR,
			check_path(path, "listeners[%u].intercept.cgroup", index),
			"listeners[%u] intercepts its %s connections; have one listener, and tell "
			"them apart by `destination` and `port` in routes",
			i, ipv4 ? "IPv4" : "IPv6");
	}
}

static void check_connect(struct check *check, unsigned int index)
{
	const struct config_intercept *intercept = &check->config->listeners[index].intercept;

	if (!intercept->cgroup)
		say(check, index, "",
		    "mode connect needs `cgroup`; name the directory of a cgroup v2");
	else
		check_alone(check, index);
	if (intercept->rules)
		say(check, index, ".rules", "mode connect has no such rules; leave it out");
	if (intercept->traffic)
		say(check, index, ".traffic",
		    "mode connect is for what `cgroup` says; leave it out");
	if (intercept->interfaces.count)
		say(check, index, ".interfaces",
		    "mode connect is before any interface; leave them out");
}

/* Netfilter's choice, for those that are made on this host. */
static bool is_where_local_ones_go(const struct address *address)
{
	return address->any.sa_family == AF_INET6
		       ? IN6_IS_ADDR_LOOPBACK(&address->ipv6.sin6_addr)
		       : address->ipv4.sin_addr.s_addr == htonl(INADDR_LOOPBACK);
}

/* Netfilter puts in the address of the interface that a packet came by; of local ones loopback. */
static void check_redirect(struct check *check, unsigned int index)
{
	const struct config_listener *listener = &check->config->listeners[index];
	const struct config_intercept *intercept = &listener->intercept;

	if (listener->address.length && !address_is_any(&listener->address)) {
		if (intercept->traffic != INTERCEPT_LOCAL)
			say(check, index, "",
			    "connections are redirected to whatever address this host has where "
			    "they come in; let the listener have 0.0.0.0 or [::]");
		else if (!is_where_local_ones_go(&listener->address))
			say(check, index, "",
			    "connections of this host's processes are redirected to 127.0.0.1 or "
			    "[::1]; let the listener have that, 0.0.0.0 or [::]");
	}
	if (check->config->direct.tcp.source.kind == SOURCE_CLIENT)
		say(check, index, ".mode",
		    "connection tracking would take proxyd's connection from the client's port for "
		    "the client's own; let `original_destination.tcp.source` be clientip, or take "
		    "mode tproxy");
}

static void check_netfilter(struct check *check, unsigned int index)
{
	const struct config_intercept *intercept = &check->config->listeners[index].intercept;

	if (intercept->traffic == INTERCEPT_LOCAL)
		return;
	if (intercept->cgroup)
		say(check, index, ".cgroup",
		    "only connections of this host's processes have one; take `traffic: local`");
	if (intercept->users.count)
		say(check, index, ".uids",
		    "only connections of this host's processes have one; take `traffic: local`");
}

/* A table of routes has the number of the port. */
static void check_port(struct check *check, unsigned int index)
{
	const struct config_listener *listeners = check->config->listeners;
	unsigned int port = ntohs(listeners[index].address.ipv4.sin_port);

	for (unsigned int i = 0; port && i < index; i++)
		if (listeners[i].intercept.mode >= INTERCEPT_TPROXY &&
		    ntohs(listeners[i].address.ipv4.sin_port) == port) {
			char path[CHECK_PATH];

			check_say(check, REPORT_ERROR,
				  check_path(path, "listeners[%u].address", index),
				  "listeners[%u] has port %u too, and routes of modes tproxy and "
				  "steer go by the port; take another, or one listener with [::], "
				  "which takes IPv4 too",
				  i, port);
			return;
		}
}

static void check_tproxy(struct check *check, unsigned int index)
{
	if (check->config->listeners[index].intercept.traffic & INTERCEPT_LOCAL)
		say(check, index, ".traffic",
		    "mode tproxy takes what comes in by an interface; for connections of this "
		    "host's processes take mode redirect or connect");
}

/* The program does not see marks: proxyd's own connections must look like this host's to itself. */
static void check_loop(struct check *check, unsigned int index)
{
	const struct config *config = check->config;
	const struct string_list *interfaces = &config->listeners[index].intercept.interfaces;

	for (unsigned int i = 0; i < interfaces->count; i++)
		if (!strcmp(interfaces->items[i], "lo"))
			say(check, index, ".interfaces",
			    "by `lo` proxyd's own connections would come back; leave it out, or "
			    "take upstreams instead of original_destination");
	if (config->direct.tcp.source.kind != SOURCE_OWN ||
	    config->direct.tcp.source.address.length)
		say(check, index, ".mode",
		    "connections to this host's own addresses from `original_destination.tcp."
		    "source` would come back; leave that out, or take mode tproxy");
}

static void check_steer(struct check *check, unsigned int index)
{
	const struct config *config = check->config;
	const struct config_intercept *intercept = &config->listeners[index].intercept;

	if (intercept->traffic)
		say(check, index, ".traffic",
		    "mode steer takes what comes to local addresses and, with `interfaces`, what "
		    "is routed; leave it out");
	if (intercept->cgroup || intercept->users.count)
		say(check, index, intercept->cgroup ? ".cgroup" : ".uids",
		    "mode steer does not know who connects; take mode redirect or connect");
	for (unsigned int i = 0; i < config->route_count; i++)
		if (config->routes[i].action == ROUTE_ORIGINAL) {
			check_loop(check, index);
			return;
		}
}

void check_intercept(struct check *check, unsigned int listener)
{
	switch (check->config->listeners[listener].intercept.mode) {
	case INTERCEPT_NONE:
		break;
	case INTERCEPT_CONNECT:
		check_connect(check, listener);
		break;
	case INTERCEPT_REDIRECT:
		check_redirect(check, listener);
		check_netfilter(check, listener);
		break;
	case INTERCEPT_TPROXY:
		check_port(check, listener);
		check_tproxy(check, listener);
		check_netfilter(check, listener);
		break;
	case INTERCEPT_STEER:
		check_port(check, listener);
		check_steer(check, listener);
		break;
	}
}
