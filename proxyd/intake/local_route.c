// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/local_route.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "intake/listener.h"
#include "log.h"
#include "sidelane/mark.h"

/* The tables of a listener have its port behind. It has two: one in force and the next. */
#define TABLE       760000000u
#define PORTS       65536u
#define PRIORITY    5000 /* behind `local`, before `main` */
#define LAST_METRIC 9999
#define RULE_BY_US  93 /* rtm_protocol, FRA_PROTOCOL (4.17); not in rt_protos */

struct rule {
	bool ipv6;
	bool marked;
	const char *interface;          /* NULL: any */
	const struct port_range *ports; /* NULL: any */
	char to[CIDR_TEXT];             /* empty: anywhere */
};

struct route {
	bool ipv6;
	uint8_t type; /* RTN_LOCAL: here; RTN_THROW: as without the table; RTN_PROHIBIT: nowhere */
	uint32_t metric; /* 0: the family's best */
	char to[CIDR_TEXT];
};

typedef int rule_fn(const struct rule *rule, void *user);
typedef int route_fn(const struct route *route, void *user);

struct local_route {
	LIST_ENTRY(local_route) entry;
	struct nl_sock *socket;
	uint32_t table; /* in force; 0: none */
	int tun;        /* the device that routes go with; -1: none, they go by themselves */
	int device;     /* of the routes */
};

/* Those of a port take each other's place, as when a listener goes to another address. */
static LIST_HEAD(, local_route) all = LIST_HEAD_INITIALIZER(all);

static uint32_t table_of(const struct config_listener *listener)
{
	return TABLE + ntohs(listener->address.ipv4.sin_port);
}

/* ---- Which rules -------------------------------------------------------------------------- */

static int each_port(const struct config_intercept *intercept, struct rule *rule, rule_fn *fn,
		     void *user)
{
	int err = 0;

	for (unsigned int i = 0; !err && i < (intercept->ports.count ? intercept->ports.count : 1);
	     i++) {
		rule->ports = intercept->ports.count ? &intercept->ports.items[i] : NULL;
		err = fn(rule, user);
	}
	return err;
}

static int each_destination(const struct config_intercept *intercept, struct rule *rule,
			    rule_fn *fn, void *user)
{
	int err = 0;

	*rule->to = '\0';
	if (!intercept->destinations.count)
		return each_port(intercept, rule, fn, user);
	for (unsigned int i = 0; !err && i < intercept->destinations.count; i++)
		if (cidr_of_family(&intercept->destinations.items[i], rule->ipv6, rule->to))
			err = each_port(intercept, rule, fn, user);
	return err;
}

/* What netfilter takes has a mark; without netfilter, the rules say what is taken. */
static int each_rule(const struct config_listener *listener, rule_fn *fn, void *user)
{
	const struct config_intercept *intercept = &listener->intercept;
	int err = 0;

	for (int ipv6 = 0; !err && ipv6 < 2; ipv6++) {
		struct rule rule = {.ipv6 = ipv6, .marked = intercept->mode == INTERCEPT_TPROXY};

		if (!listener_takes(listener, ipv6))
			continue;
		if (rule.marked)
			err = fn(&rule, user);
		for (unsigned int i = 0; !rule.marked && !err && i < intercept->interfaces.count;
		     i++) {
			rule.interface = intercept->interfaces.items[i];
			err = each_destination(intercept, &rule, fn, user);
		}
	}
	return err;
}

/* What is excluded, and what holds when the device of `local` is gone. Netfilter sees to both. */
static int each_more_route(const struct config_intercept *intercept, struct route *route,
			   route_fn *fn, void *user)
{
	int err = 0;

	if (intercept->on_exit == INTERCEPT_EXIT_CLOSED) {
		route->type = RTN_PROHIBIT;
		route->metric = LAST_METRIC;
		err = fn(route, user);
	}
	route->type = RTN_THROW;
	route->metric = 0;
	for (unsigned int i = 0; !err && i < intercept->exclude.count; i++)
		if (cidr_of_family(&intercept->exclude.items[i], route->ipv6, route->to))
			err = fn(route, user);
	return err;
}

static int each_route(const struct config_listener *listener, route_fn *fn, void *user)
{
	int err = 0;

	for (int ipv6 = 0; !err && ipv6 < 2; ipv6++) {
		struct route route = {.ipv6 = ipv6, .type = RTN_LOCAL};

		if (!listener_takes(listener, ipv6))
			continue;
		strcpy(route.to, ipv6 ? "::/0" : "0.0.0.0/0");
		err = fn(&route, user);
		if (!err && listener->intercept.mode != INTERCEPT_TPROXY)
			err = each_more_route(&listener->intercept, &route, fn, user);
	}
	return err;
}

/* ---- In words ----------------------------------------------------------------------------- */

struct printer {
	FILE *out;
	uint32_t table;
};

static int print_route(const struct route *route, void *user)
{
	struct printer *printer = user;

	fprintf(printer->out, "ip%s route replace %s %s", route->ipv6 ? " -6" : "",
		route->type == RTN_LOCAL      ? "local"
		: route->type == RTN_PROHIBIT ? "prohibit"
					      : "throw",
		route->to);
	if (route->type == RTN_LOCAL)
		fputs(" dev lo", printer->out);
	if (route->metric)
		fprintf(printer->out, " metric %u", route->metric);
	fprintf(printer->out, " table %u protocol %u\n", printer->table, RULE_BY_US);
	return 0;
}

static int print_rule(const struct rule *rule, void *user)
{
	struct printer *printer = user;
	const char *ip = rule->ipv6 ? "ip -6" : "ip";

	fprintf(printer->out, "%s rule add priority %d", ip, PRIORITY);
	if (rule->marked)
		fprintf(printer->out, " fwmark %#x/%#x", SL_MARK_LOCAL, SL_MARK_LOCAL);
	if (rule->interface)
		fprintf(printer->out, " iif %s", rule->interface);
	if (*rule->to)
		fprintf(printer->out, " to %s", rule->to);
	if (!rule->marked)
		fputs(" ipproto tcp", printer->out);
	if (rule->ports)
		fprintf(printer->out, " dport %u-%u", rule->ports->first, rule->ports->last);
	fprintf(printer->out, " table %u protocol %u\n", printer->table, RULE_BY_US);
	return 0;
}

int local_route_print(FILE *out, const struct config_listener *listener)
{
	struct printer printer = {.out = out, .table = table_of(listener)};
	int err = each_route(listener, print_route, &printer);

	return err ? err : each_rule(listener, print_rule, &printer);
}

/* ---- In the kernel ------------------------------------------------------------------------ */

int local_route_new(struct local_route **out)
{
	struct local_route *route = calloc(1, sizeof(*route));

	if (route) {
		route->tun = -1;
		route->socket = nl_socket_alloc();
		LIST_INSERT_HEAD(&all, route, entry);
	}
	if (!route || !route->socket || nl_connect(route->socket, NETLINK_ROUTE)) {
		local_route_free(route);
		return -ENOMEM;
	}
	*out = route;
	return 0;
}

void local_route_free(struct local_route *route)
{
	if (!route)
		return;
	LIST_REMOVE(route, entry);
	nl_socket_free(route->socket);
	if (route->tun >= 0)
		close(route->tun);
	free(route);
}

/* libnl's own numbers; a second one like it is none too many. */
static int result(int err)
{
	return err == -NLE_EXIST || err >= 0 ? 0 : err == -NLE_PERM ? -EPERM : -EINVAL;
}

static int add_rule(const struct rule *rule, void *user)
{
	struct local_route *route = user;
	struct rtnl_rule *made = rtnl_rule_alloc();
	struct nl_addr *to = NULL;
	int err = made ? 0 : -NLE_NOMEM;

	if (!err && *rule->to)
		err = nl_addr_parse(rule->to, rule->ipv6 ? AF_INET6 : AF_INET, &to);
	if (!err) {
		rtnl_rule_set_family(made, rule->ipv6 ? AF_INET6 : AF_INET);
		rtnl_rule_set_prio(made, PRIORITY);
		rtnl_rule_set_table(made, route->table);
		rtnl_rule_set_action(made, FR_ACT_TO_TBL);
		rtnl_rule_set_protocol(made, RULE_BY_US);
		if (rule->marked) {
			rtnl_rule_set_mark(made, SL_MARK_LOCAL);
			rtnl_rule_set_mask(made, SL_MARK_LOCAL);
		} else {
			rtnl_rule_set_ipproto(made, IPPROTO_TCP);
		}
		if (rule->interface)
			rtnl_rule_set_iif(made, rule->interface);
		if (to)
			rtnl_rule_set_dst(made, to);
		if (rule->ports)
			rtnl_rule_set_dport_range(made, (uint16_t)rule->ports->first,
						  (uint16_t)rule->ports->last);
		err = rtnl_rule_add(route->socket, made, NLM_F_EXCL);
	}
	nl_addr_put(to);
	rtnl_rule_put(made);
	return result(err);
}

static int add_hop(struct rtnl_route *route, int device)
{
	struct rtnl_nexthop *hop = rtnl_route_nh_alloc();

	if (!hop)
		return -NLE_NOMEM;
	rtnl_route_nh_set_ifindex(hop, device);
	rtnl_route_add_nexthop(route, hop);
	return 0;
}

static int add_route(const struct route *wanted, void *user)
{
	struct local_route *route = user;
	int family = wanted->ipv6 ? AF_INET6 : AF_INET;
	bool local = wanted->type == RTN_LOCAL;
	struct rtnl_route *made = rtnl_route_alloc();
	struct nl_addr *to = NULL;
	int err = made ? nl_addr_parse(wanted->to, family, &to) : -NLE_NOMEM;

	if (!err) {
		rtnl_route_set_family(made, (uint8_t)family);
		rtnl_route_set_type(made, wanted->type);
		rtnl_route_set_scope(made, local ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE);
		rtnl_route_set_table(made, route->table);
		rtnl_route_set_protocol(made, RULE_BY_US);
		rtnl_route_set_priority(made, wanted->metric);
		rtnl_route_set_dst(made, to);
		err = local ? add_hop(made, route->device) : 0;
	}
	if (!err)
		err = rtnl_route_add(route->socket, made, NLM_F_EXCL);
	nl_addr_put(to);
	rtnl_route_put(made);
	return result(err);
}

/*
 * Routes outlive whoever made them, but not their device: a tun device without a file descriptor is
 * gone, and the rules lead to an empty table, hence nowhere. Nothing is ever sent by it.
 */
static int make_device(struct local_route *route)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	route->tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	strcpy(request.ifr_name, "sidelane%d");
	if (route->tun < 0 || any < 0 || ioctl(route->tun, TUNSETIFF, &request) ||
	    ioctl(any, SIOCGIFFLAGS, &request))
		err = -errno;
	request.ifr_flags |= IFF_UP;
	if (!err && ioctl(any, SIOCSIFFLAGS, &request))
		err = -errno;
	route->device = (int)if_nametoindex(request.ifr_name);
	if (any >= 0)
		close(any);
	return err;
}

static bool is_ours(uint32_t table, uint32_t wanted)
{
	return wanted ? table == wanted : table >= TABLE && table - TABLE < 2 * PORTS;
}

/* Of one table, or with 0 of all of them. */
static bool is_own_rule(struct rtnl_rule *rule, int family, uint32_t table)
{
	uint8_t by = 0;

	return rtnl_rule_get_family(rule) == family && is_ours(rtnl_rule_get_table(rule), table) &&
	       !rtnl_rule_get_protocol(rule, &by) && by == RULE_BY_US;
}

/*
 * Where a proxyd that is gone has led what comes, 0: nowhere. Of two tables it is the one whose
 * rules were there before: of rules of a priority the first decides.
 */
static uint32_t find_table(struct nl_sock *socket, uint32_t first)
{
	struct nl_object *object;
	struct nl_cache *rules;
	uint32_t found = 0;

	for (int ipv6 = 0; !found && ipv6 < 2; ipv6++) {
		int family = ipv6 ? AF_INET6 : AF_INET;

		if (rtnl_rule_alloc_cache(socket, family, &rules))
			continue;
		for (object = nl_cache_get_first(rules); object && !found;
		     object = nl_cache_get_next(object)) {
			struct rtnl_rule *rule = (struct rtnl_rule *)object;

			if (is_own_rule(rule, family, first) ||
			    is_own_rule(rule, family, first + PORTS))
				found = rtnl_rule_get_table(rule);
		}
		nl_cache_free(rules);
	}
	return found;
}

/* Returns the number of rules that went. */
static unsigned int remove_rules(struct nl_sock *socket, int family, uint32_t table)
{
	struct nl_object *object;
	struct nl_cache *rules;
	unsigned int count = 0;

	if (rtnl_rule_alloc_cache(socket, family, &rules))
		return 0;
	for (object = nl_cache_get_first(rules); object; object = nl_cache_get_next(object)) {
		struct rtnl_rule *rule = (struct rtnl_rule *)object;

		if (is_own_rule(rule, family, table))
			count += !rtnl_rule_delete(socket, rule, 0);
	}
	nl_cache_free(rules);
	return count;
}

static void remove_routes(struct nl_sock *socket, int family, uint32_t table)
{
	struct nl_object *object;
	struct nl_cache *routes;

	if (rtnl_route_alloc_cache(socket, family, 0, &routes))
		return;
	for (object = nl_cache_get_first(routes); object; object = nl_cache_get_next(object)) {
		struct rtnl_route *route = (struct rtnl_route *)object;

		if (is_ours(rtnl_route_get_table(route), table) &&
		    rtnl_route_get_protocol(route) == RULE_BY_US)
			rtnl_route_delete(socket, route, 0);
	}
	nl_cache_free(routes);
}

static unsigned int remove_all(struct nl_sock *socket, uint32_t table)
{
	unsigned int count = 0;

	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		int family = ipv6 ? AF_INET6 : AF_INET;

		count += remove_rules(socket, family, table);
		remove_routes(socket, family, table);
	}
	return count;
}

/* Where routes lead to, which is made once. */
static int begin(struct local_route *route, const struct config_listener *listener)
{
	int err = 0;

	if (route->device)
		return 0;
	route->device = (int)if_nametoindex("lo");
	if (listener->intercept.mode == INTERCEPT_STEER)
		err = make_device(route);
	if (err)
		log_error("listener %s: cannot make a device from /dev/net/tun for routes that "
			  "end with proxyd: %s; load the module tun and let proxyd's user open "
			  "/dev/net/tun, or take mode tproxy",
			  listener->name, strerror(-err));
	return err;
}

/* What others have put into the tables of its port is gone: they must not remove what is there now.
 */
static void take_over(const struct local_route *route, uint32_t first)
{
	for (struct local_route *other = LIST_FIRST(&all); other; other = LIST_NEXT(other, entry))
		if (other != route && (other->table == first || other->table == first + PORTS))
			other->table = 0;
}

/*
 * The new rules lead to another table than those in force, which go when all the new are there. So
 * do those of a proxyd that is gone: with `on_exit: closed` they refuse until then.
 */
int local_route_follow(struct local_route *route, const struct config_listener *listener)
{
	uint32_t held = route->table, first = table_of(listener);
	uint32_t before = held ? held : find_table(route->socket, first);
	int err = begin(route, listener);

	if (err)
		return err;
	route->table = before == first ? first + PORTS : first;
	remove_all(route->socket, route->table);
	err = each_route(listener, add_route, route);
	if (!err)
		err = each_rule(listener, add_rule, route);
	if (err)
		log_error("listener %s: cannot add a route or a rule that leads to it: %s; see "
			  "proxyd doctor",
			  listener->name, strerror(-err));
	if (err || before)
		remove_all(route->socket, err ? route->table : before);
	if (err)
		route->table = held;
	else
		take_over(route, first);
	return err;
}

void local_route_remove(struct local_route *route)
{
	if (route->table)
		remove_all(route->socket, route->table);
	route->table = 0;
}

int local_route_clear(unsigned int *count)
{
	struct local_route *route;
	int err = local_route_new(&route);

	if (err)
		return err;
	*count = remove_all(route->socket, 0);
	local_route_free(route);
	return 0;
}
