// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The table's part about the file as a whole, listeners and routes. */
#include "config/schema_parts.h"
#include "config/settings.h"
#include "sidelane/shared.h"

/* ---- Listeners ---------------------------------------------------------------------------- */

#define LISTENER(member) FIELD(struct config_listener, member)
#define LIMITS(member)   FIELD(struct config_limits, member)

static const struct schema_key inspect_keys[] = {
	{"timeout", "Wait this long for them. Then the route is found by what has come.",
	 .type = &value_time, LISTENER(inspect_timeout), .fallback = "5s", .min = 1, .max = HOUR},
	{"size", "Look at no more than this.", .type = &value_size, LISTENER(inspect_size),
	 .fallback = "32KiB", .min = KIB, .max = 64 * KIB},
};

static const struct schema_object inspect_object = {
	.title = "listeners[].inspect",
	.name = "inspect",
	.help = "A connection's first bytes are waited for only where a route asks for what they "
		"tell (`sni`, `alpn`, `host`, `protocol`). They are looked at, never taken.",
	KEYS(inspect_keys),
};

static const struct schema_choice limit_actions[] = {
	{"reject", LIMIT_REJECT, "close the client at once"},
	{"queue", LIMIT_QUEUE, "let it wait for `queue_timeout`"},
	{0},
};

static const struct schema_key limit_keys[] = {
	{"max_flows", "Flows at once. 0: no limit.", .type = &value_count, LIMITS(max_flows),
	 .fallback = "0", .max = COUNT_MAX},
	{"max_flows_per_source",
	 "Flows at once from one address (of IPv6: from one /64). 0: no limit.",
	 .type = &value_count, LIMITS(max_flows_per_source), .fallback = "0", .max = COUNT_MAX},
	{"rate_per_source",
	 "Connections a second from one address (of IPv6: from one /64). 0: no limit.",
	 .type = &value_rate, LIMITS(rate_per_source), .fallback = "0/s", .max = COUNT_MAX},
	{"rate_burst",
	 "Connections from one address that may come at once beyond the rate. 0: as many as "
	 "`rate_per_source`.",
	 .type = &value_count, LIMITS(rate_burst), .fallback = "0", .max = COUNT_MAX},
	{"bandwidth", "Bytes a second of all flows together, in each direction. 0: no limit.",
	 .type = &value_bandwidth, LIMITS(bandwidth), .fallback = "0B/s", .max = BANDWIDTH_MAX},
	{"flow_bandwidth", "Bytes a second of each flow, in each direction. 0: no limit.",
	 .type = &value_bandwidth, LIMITS(flow_bandwidth), .fallback = "0B/s",
	 .max = BANDWIDTH_MAX},
	{"action",
	 "What to do with a connection beyond `max_flows`, `max_flows_per_source` or the "
	 "rate.",
	 .type = &value_choice, LIMITS(action), .fallback = "reject", .choices = limit_actions},
	{"queue_timeout", "Reject it after this long.", .type = &value_time, LIMITS(queue_timeout),
	 .fallback = "5s", .min = 1, .max = HOUR},
};

static const struct schema_object limits = {
	.title = "listeners[].limits",
	.name = "limits",
	.help = "How many are let in, and how fast.",
	KEYS(limit_keys),
};

#define INTERCEPT(member) FIELD(struct config_intercept, member)

static const struct schema_choice intercept_modes[] = {
	{"connect", INTERCEPT_CONNECT, "by programs at the cgroup of the processes that connect"},
	{"redirect", INTERCEPT_REDIRECT, "by netfilter, which translates the destination"},
	{"tproxy", INTERCEPT_TPROXY, "by netfilter, which finds the listener's socket"},
	{"steer", INTERCEPT_STEER, "by a program that finds the listener's socket"},
	{0},
};

static const struct schema_choice intercept_traffic[] = {
	{"local", INTERCEPT_LOCAL, "of this host's processes"},
	{"routed", INTERCEPT_ROUTED, "that pass through this host"},
	{"inbound", INTERCEPT_INBOUND, "of others to this host"},
	{0},
};

static const struct schema_choice intercept_rules[] = {
	{"install", INTERCEPT_RULES_INSTALL, "proxyd installs and removes them"},
	{"skip", INTERCEPT_RULES_SKIP, "somebody else does; see `proxyd rules --print`"},
	{0},
};

static const struct schema_choice intercept_exits[] = {
	{"open", INTERCEPT_EXIT_OPEN, "where they are meant to go"},
	{"closed", INTERCEPT_EXIT_CLOSED, "nowhere: they are refused"},
	{0},
};

static const struct schema_key intercept_keys[] = {
	{"mode", "How.", .type = &value_choice, INTERCEPT(mode), .otherwise = "`connect`",
	 .restart = true, .choices = intercept_modes},
	{"on_exit", "Where new connections go when proxyd is gone, even by `kill -9`.",
	 .type = &value_choice, INTERCEPT(on_exit), .otherwise = "`open`", .restart = true,
	 .choices = intercept_exits},
	{"traffic", "Whose connections; of `redirect` and, but for `local`, `tproxy`.",
	 .type = &value_choices, INTERCEPT(traffic),
	 .otherwise = "`local` with `cgroup` or `uids`, else `routed`", .restart = true,
	 .choices = intercept_traffic},
	{"interfaces",
	 "Only those that come in, or of `local` ones leave, by these network "
	 "interfaces. `steer` takes what is routed through this host only with them.",
	 .type = &value_names, INTERCEPT(interfaces), .otherwise = "all but `lo`"},
	{"rules", "Who puts the rules of netfilter and routing in place.", .type = &value_choice,
	 INTERCEPT(rules), .otherwise = "`install`", .restart = true, .choices = intercept_rules},
	{"cgroup", "Directory of the cgroup v2 that holds the processes; `connect` needs it.",
	 .type = &value_path, INTERCEPT(cgroup), .otherwise = "any", .restart = true,
	 .example = "/sys/fs/cgroup/system.slice/app.service"},
	{"destinations", "Only connections to these addresses.", .type = &value_cidrs,
	 INTERCEPT(destinations), .otherwise = "all"},
	{"exclude", "Not those to these; goes before `destinations`.", .type = &value_cidrs,
	 INTERCEPT(exclude), .otherwise = "none"},
	{"ports", "Only connections to these ports.", .type = &value_ranges, INTERCEPT(ports),
	 .otherwise = "all", .min = 1, .max = 65535, .example = "443 or 8000-8010"},
	{"uids", "Only connections made by these user IDs.", .type = &value_ranges,
	 INTERCEPT(users), .otherwise = "all", .max = UINT32_MAX - 1,
	 .example = "1000 or 100000-165535"},
};

static const struct schema_object intercept = {
	.title = "listeners[].intercept",
	.name = "intercept",
	.help = "Bring here TCP connections that are meant for others; see transparent.md. "
		"The clients see the address that they asked for; routes see it as `destination`, "
		"and `original_destination` goes there. A listener takes connections of its own "
		"address family, `[::]` of both. proxyd's own are left alone.",
	KEYS(intercept_keys),
};

#define PROXY_HEADER(member) FIELD(struct config_proxy_header, member)

static const struct schema_choice proxy_others[] = {
	{"reject", PROXY_OTHERS_REJECT, "close them with a RST"},
	{"pass", PROXY_OTHERS_PASS, "they are clients; their bytes are not looked at for a header"},
	{0},
};

static const struct schema_key proxy_header_keys[] = {
	{"from", "Peers that must begin with a header, and are believed.", .type = &value_cidrs,
	 PROXY_HEADER(from), .required = true, .example = "10.0.0.0/24"},
	{"others", "What to do with a connection from anybody else.", .type = &value_choice,
	 PROXY_HEADER(others), .fallback = "reject", .choices = proxy_others},
	{"timeout", "Reject a peer whose header is not complete after this long.",
	 .type = &value_time, PROXY_HEADER(timeout), .fallback = "3s", .min = 1, .max = HOUR},
};

static const struct schema_object proxy_header = {
	.title = "listeners[].proxy_protocol",
	.name = "proxy_protocol",
	.help = "Clients come by way of proxies that say who they are: a PROXY protocol header, "
		"version 1 or 2, is taken off the stream. What it says serves limits, routes and "
		"logs. A single value is `from`.",
	KEYS(proxy_header_keys),
	.shorthand = "from",
};

static const struct schema_key listener_keys[] = {
	{"name", "What routes, messages and commands call it.", .type = &value_name, LISTENER(name),
	 .otherwise = "`listener-1` and so on, by its place"},
	{"address",
	 "Accept connections here; `0.0.0.0` is all addresses of IPv4, `[::]` all of both "
	 "families. Of "
	 "several with one port the closest takes a client.",
	 .type = &value_address, LISTENER(address), .required = true, .example = "0.0.0.0:443"},
	{"allow", "Accept these clients only.", .type = &value_cidrs, LISTENER(allow),
	 .otherwise = "everybody"},
	{"deny", "Reject these; goes before `allow`.", .type = &value_cidrs, LISTENER(deny),
	 .otherwise = "nobody"},
	{"inspect", "", .object = &inspect_object, .offset = 0},
	{"limits", "", .object = &limits, .offset = offsetof(struct config_listener, limits)},
	{"tcp", "", .object = &schema_tcp_listener,
	 .offset = offsetof(struct config_listener, tcp)},
	{"proxy_protocol", "", .object = &proxy_header,
	 .offset = offsetof(struct config_listener, proxy_header)},
	{"intercept", "", .object = &intercept,
	 .offset = offsetof(struct config_listener, intercept)},
};

static const struct schema_object listener = {
	.title = "listeners[]",
	.name = "listener",
	.help = "Where connections are accepted. A single value is `address`.",
	KEYS(listener_keys),
	.size = sizeof(struct config_listener),
	.shorthand = "address",
};

/* ---- Routes ------------------------------------------------------------------------------- */

#define MATCH(member) FIELD(struct config_match, member)
#define ROUTE(member) FIELD(struct config_route, member)

static const struct schema_choice protocols[] = {
	{"tls", PROTOCOL_TLS, "a ClientHello"},
	{"http", PROTOCOL_HTTP, "an HTTP/1 request"},
	{"ssh", PROTOCOL_SSH, "an SSH greeting"},
	{"other", PROTOCOL_OTHER, "anything else, or silence for `inspect.timeout`"},
	{0},
};

static const struct schema_key match_keys[] = {
	{"listener", "The listener that accepted it.", .type = &value_names, MATCH(listeners)},
	{"source", "The client's address.", .type = &value_cidrs, MATCH(sources)},
	{"destination", "The address that the client connected to, before any redirection.",
	 .type = &value_cidrs, MATCH(destinations)},
	{"port", "The port that it connected to, before any redirection.", .type = &value_ranges,
	 MATCH(ports), .min = 1, .max = 65535, .example = "443 or 8000-8010"},
	{"sni",
	 "The server name in its ClientHello. `*.example.org` has one more label, `*` is any.",
	 .type = &value_server_names, MATCH(sni)},
	{"alpn", "A protocol that its ClientHello offers, as `h2`.", .type = &value_alpns,
	 MATCH(alpn)},
	{"host", "The Host of its first HTTP/1 request, without the port. Patterns as in `sni`.",
	 .type = &value_hosts, MATCH(hosts)},
	{"protocol", "What its first bytes are.", .type = &value_choices, MATCH(protocols),
	 .choices = protocols},
};

static const struct schema_object match = {
	.title = "routes[].match",
	.name = "match",
	.help = "What a connection must be like. Every key that is given must fit; of a list, one "
		"member.",
	KEYS(match_keys),
};

static const struct schema_choice rejections[] = {
	{"reset", ROUTE_RESET, "with a RST"},
	{"close", ROUTE_CLOSE, "with a FIN"},
	{0},
};
static const struct schema_choice original[] = {{"true", ROUTE_ORIGINAL, ""}, {0}};

static const struct schema_key route_keys[] = {
	{"name", "What messages call it.", .type = &value_name, ROUTE(name),
	 .otherwise = "`route-1` and so on, by its place"},
	{"match", "", .object = &match, .offset = offsetof(struct config_route, match)},
	{"upstream", "Connect to an endpoint of this upstream.", .type = &value_upstream,
	 ROUTE(upstream), .example = "web"},
	{"reject", "Turn the connection away.", .type = &value_choice, ROUTE(action),
	 .choices = rejections},
	{"original_destination",
	 "Connect to the address that the client connected to, before any redirection.",
	 .type = &value_true, ROUTE(action), .choices = original},
	{"mirror",
	 "Send a copy of the client's bytes to an endpoint of this upstream too; its answers are "
	 "discarded, and it never holds the flow up.",
	 .type = &value_upstream, ROUTE(mirror)},
};

static const char *const route_one_of[] = {"upstream", "reject", "original_destination", NULL};

static const struct schema_object route = {
	.title = "routes[]",
	.name = "route",
	.help = "Where a connection goes. The first route that matches is taken; one without "
		"`match` "
		"takes all that is left. What none matches is rejected with a RST. One of "
		"`upstream`, `reject` and `original_destination` is given.",
	KEYS(route_keys),
	.size = sizeof(struct config_route),
	.one_of = route_one_of,
};

/* ---- The access log ----------------------------------------------------------------------- */

#define ACCESS(member) FIELD(struct config_access_log, member)

static const struct schema_choice access_flows[] = {
	{"all", ACCESS_ALL, "every one"},
	{"failed", ACCESS_FAILED, "those that did not end by their ends' closing"},
	{0},
};

static const struct schema_key access_keys[] = {
	{"to",
	 "`stderr` (under systemd: the journal), `stdout`, or the path of a file, which is made if "
	 "it is not there, with mode 0640; a reload opens it anew.",
	 .type = &value_log_target, ACCESS(to), .required = true,
	 .example = "/var/log/proxyd/access.log"},
	{"flows", "Of which flows.", .type = &value_choice, ACCESS(flows), .otherwise = "`all`",
	 .choices = access_flows},
};

static const struct schema_object access_log = {
	.title = "access_log",
	.name = "access_log",
	.help = "A line of JSON for each flow when it ends, also one that was turned away "
		"(proxyd(8), ACCESS LOG). It never holds flows up: lines that cannot be written "
		"are "
		"dropped, and counted in the status. A single value is `to`.",
	KEYS(access_keys),
	.shorthand = "to",
};

/* ---- The file ----------------------------------------------------------------------------- */

#define CONFIG(member) FIELD(struct config, member)

static const struct schema_choice lanes[] = {
	{"auto", LANE_AUTO, "whichever is cheaper for what the flow does"},
	{"kernel", LANE_KERNEL, "spliced in the kernel from the first byte"},
	{"relay", LANE_RELAY, "through user space"},
	{0},
};

/* Upstreams before routes, which refer to them: the loader goes by this order. */
static const struct schema_key config_keys[] = {
	{"workers", "Threads.", .type = &value_count, CONFIG(workers), .otherwise = "one a core",
	 .restart = true, .min = 1, .max = SL_WORKERS_MAX},
	{"lane", "How bytes cross.", .type = &value_choice, CONFIG(lane), .fallback = "auto",
	 .restart = true, .choices = lanes},
	{"window", "Kernel memory that a direction of a flow may hold in the kernel lane.",
	 .type = &value_size, CONFIG(window), .fallback = "4MiB", .restart = true, .min = 64 * KIB,
	 .max = GIB},
	/* 107: sockaddr_un.sun_path with its end. */
	{"control", "The control socket.", .type = &value_path, CONFIG(control),
	 .fallback = SETTINGS_CONTROL_DEFAULT, .restart = true, .max = 107},
	{"cgroup",
	 "Directory of a cgroup v2 that holds proxyd, to attach the sock_ops program to. Only lane "
	 "`kernel` uses it.",
	 .type = &value_path, CONFIG(cgroup), .otherwise = "found by itself", .restart = true},
	{"direct_lane",
	 "Pair a flow's client and server with each other, past proxyd, where both run on this "
	 "host "
	 "and qualify (docs/acceleration.md).",
	 .type = &value_bool, CONFIG(direct_lane), .fallback = "false", .restart = true},
	{"direct_programs",
	 "Programs that may be paired, besides the known ones: those that read their sockets with "
	 "`recv` or `read` alone, and ask for no FIONREAD. By the name of the file that runs.",
	 .type = &value_names, CONFIG(direct_programs), .otherwise = "none", .restart = true},
	{"pin", "BPF file system, where the direct lane keeps what must outlive proxyd.",
	 .type = &value_path, CONFIG(pin), .otherwise = "`/sys/fs/bpf`", .restart = true},
	{"access_log", "", .object = &access_log, .offset = offsetof(struct config, access_log)},
	{"drain_timeout", "On SIGTERM, let live flows finish for this long.", .type = &value_time,
	 CONFIG(drain_timeout), .fallback = "30s", .max = TIME_MAX},
	{"dns_servers", "Whom to ask for the addresses of endpoints.", .type = &value_nameservers,
	 CONFIG(dns_servers), .otherwise = "as `/etc/resolv.conf` says"},
	{"listeners", "Where connections are accepted.", .object = &listener,
	 MANY(struct config, listeners, listener_count), .required = true,
	 .max = SCHEMA_LISTENERS_MAX, .example = "0.0.0.0:443"},
	{"upstreams", "Pools of servers.", .object = &schema_upstream,
	 MANY(struct config, upstreams, upstream_count), .max = SCHEMA_UPSTREAMS_MAX},
	{"routes", "Where connections go; the first that matches is taken.", .object = &route,
	 MANY(struct config, routes, route_count), .required = true, .max = SCHEMA_ROUTES_MAX,
	 .example = "{upstream: web}"},
	{"original_destination", "", .object = &schema_direct,
	 .offset = offsetof(struct config, direct)},
	{"acceleration", "", .object = &schema_acceleration,
	 .offset = offsetof(struct config, acceleration), .restart = true},
};

const struct schema_object schema_config = {
	.title = "The file",
	.name = "config",
	.help = "A configuration of proxyd.",
	KEYS(config_keys),
};
