// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The table's part about upstreams, and what they share with others. */
#include "config/schema_parts.h"

/* ---- TCP ---------------------------------------------------------------------------------- */

#define TCP(member) FIELD(struct config_tcp, member)

static const struct schema_key keepalive_keys[] = {
	{"idle", "Probe after this long without a byte. 0: no probes.", .type = &value_time,
	 TCP(keepalive_idle), .required = true, .fallback = "0s", .max = 32767 * SECOND,
	 .step = SECOND, .example = "60s"},
	{"interval", "From one probe to the next.", .type = &value_time, TCP(keepalive_interval),
	 .otherwise = "the system's", .max = 32767 * SECOND, .step = SECOND},
	{"count", "Close after this many probes without an answer.", .type = &value_count,
	 TCP(keepalive_count), .otherwise = "the system's", .max = 127},
};

static const struct schema_object keepalive = {
	.title = "tcp.keepalive",
	.name = "keepalive",
	.help = "TCP keepalive, tcp(7). A single value is `idle`.",
	KEYS(keepalive_keys),
	.shorthand = "idle",
};

static const struct schema_key tcp_keys[] = {
	{"keepalive", "", .object = &keepalive, .offset = 0},
	{"user_timeout",
	 "Close when sent bytes stay unacknowledged for this long (`TCP_USER_TIMEOUT`).",
	 .type = &value_time, TCP(user_timeout), .otherwise = "the system's", .max = 500 * HOUR},
	{"nodelay", "Send small segments at once (`TCP_NODELAY`).", .type = &value_bool,
	 TCP(nodelay), .fallback = "true"},
	{"send_buffer", "`SO_SNDBUF`.", .type = &value_size, TCP(send_buffer),
	 .otherwise = "the system's", .max = GIB},
	{"receive_buffer",
	 "`SO_RCVBUF`. It stretches no more then: TCP drops what does not fit, and who sent it "
	 "waits "
	 "for a timer. See docs/kernel.md.",
	 .type = &value_size, TCP(receive_buffer), .otherwise = "the system's", .max = GIB},
	{"mark", "`SO_MARK`, for routing rules and packet filters.", .type = &value_mark, TCP(mark),
	 .otherwise = "none", .max = UINT32_MAX},
	/* Of upstream sockets only: */
	{"source",
	 "Connect from this address; `clientip`: from the client's own, which the server then "
	 "sees; "
	 "`client`: from its port too, if that can be had. See docs/transparent.md for what the "
	 "way back needs. Health checks and mirrors are never the client's.",
	 .type = &value_source, TCP(source), .otherwise = "the system's choice"},
	{"interface", "Connect through this interface (`SO_BINDTODEVICE`).",
	 .type = &value_interface, TCP(interface), .otherwise = "any", .max = 15},
};

const struct schema_object schema_tcp_listener = {
	.title = "listeners[].tcp",
	.name = "tcp",
	.help = "What is set on the clients' sockets.",
	KEYS_BUT_LAST(tcp_keys, 2),
};

static const struct schema_object tcp_upstream = {
	.title = "upstreams[].tcp",
	.name = "tcp",
	.help = "What is set on the sockets towards the servers. Also in `original_destination`.",
	KEYS(tcp_keys),
};

/* ---- Endpoints ---------------------------------------------------------------------------- */

#define ENDPOINT(member) FIELD(struct config_endpoint, member)

static const struct schema_key endpoint_keys[] = {
	{"address",
	 "`ADDRESS:PORT`, or `NAME:PORT` with a name whose A and AAAA records are all used, and "
	 "looked up again when they expire.",
	 .type = &value_endpoint, .offset = 0, .example = "192.0.2.7:80"},
	{"srv", "A name whose SRV records say hosts, ports, weights and priorities (RFC 2782).",
	 .type = &value_service, .offset = 0},
	{"weight", "Its share of new flows, beside the other endpoints'. 0: none.",
	 .type = &value_count, ENDPOINT(weight), .fallback = "1", .max = ENDPOINT_WEIGHT_MAX},
	{"backup", "Used only when no other endpoint is usable.", .type = &value_bool,
	 ENDPOINT(backup), .fallback = "false"},
	{"max_flows", "Flows at once. 0: no limit.", .type = &value_count, ENDPOINT(max_flows),
	 .fallback = "0", .max = COUNT_MAX},
};

static const char *const endpoint_one_of[] = {"address", "srv", NULL};

static const struct schema_object endpoint = {
	.title = "upstreams[].endpoints[]",
	.name = "endpoint",
	.help = "A server. A single value is `address`. Either `address` or `srv` is given.",
	KEYS(endpoint_keys),
	.size = sizeof(struct config_endpoint),
	.shorthand = "address",
	.one_of = endpoint_one_of,
};

/* ---- Retries and times -------------------------------------------------------------------- */

#define UPSTREAM(member) FIELD(struct config_upstream, member)

static const struct schema_key retry_keys[] = {
	{"attempts", "Other endpoints to try, one after the other, when a connect fails.",
	 .type = &value_count, UPSTREAM(retries), .fallback = "3", .max = UPSTREAM_TRIES_MAX},
	{"budget",
	 "Retries in the last one to two seconds, as a share of the flows in that time, so that a "
	 "pool that is down is not drowned in retries.",
	 .type = &value_percent, UPSTREAM(retry_budget), .fallback = "20%", .max = 100},
	{"budget_min", "Retries in that time that are allowed in any case.", .type = &value_count,
	 UPSTREAM(retry_budget_min), .fallback = "100", .max = 1000000},
};

static const struct schema_object retries = {
	.title = "upstreams[].retries",
	.name = "retries",
	.help = "When a connect fails. A single value is `attempts`.",
	KEYS(retry_keys),
	.shorthand = "attempts",
};

static const struct schema_key timeout_keys[] = {
	{"connect", "Give an endpoint up after this long. 0: when the system does.",
	 .type = &value_time, UPSTREAM(connect_timeout), .fallback = "10s", .max = TIME_MAX},
	{"idle", "Close a flow that moved no byte for this long. 0: never.", .type = &value_time,
	 UPSTREAM(idle_timeout), .fallback = "1h", .max = TIME_MAX},
	{"lifetime", "Close a flow that is this old, however busy. 0: never.", .type = &value_time,
	 UPSTREAM(max_lifetime), .fallback = "0s", .max = TIME_MAX},
	/* Where there are endpoints: */
	{"queue", "Wait this long when every endpoint has `max_flows`. 0: reject at once.",
	 .type = &value_time, UPSTREAM(queue_timeout), .fallback = "0s", .max = TIME_MAX},
};

const struct schema_object schema_timeouts = {
	.title = "upstreams[].timeouts",
	.name = "timeouts",
	.help = "How long things may take.",
	KEYS(timeout_keys),
};

static const struct schema_object direct_timeouts = {
	.title = "original_destination.timeouts",
	.name = "timeouts",
	.help = "How long things may take.",
	KEYS_BUT_LAST(timeout_keys, 1),
};

static const struct schema_choice proxy_versions[] = {
	{"none", PROXY_NONE, "with the client's first byte"},
	{"v1", PROXY_V1, "with a line of text"},
	{"v2", PROXY_V2, "with a binary header"},
	{0},
};

#define PROXY_PROTOCOL                                                                             \
	{                                                                                          \
		"proxy_protocol",                                                                  \
			"What a connection to a server begins with: a PROXY protocol header "      \
			"tells it who the "                                                        \
			"client is, and where it connected to.",                                   \
			.type = &value_choice, UPSTREAM(proxy_protocol), .fallback = "none",       \
			.choices = proxy_versions                                                  \
	}

static const struct schema_key direct_keys[] = {
	{"timeouts", "", .object = &direct_timeouts, .offset = 0},
	{"tcp", "", .object = &tcp_upstream, .offset = offsetof(struct config_upstream, tcp)},
	PROXY_PROTOCOL,
};

const struct schema_object schema_direct = {
	.title = "original_destination",
	.name = "original_destination",
	.help = "For flows that a route sends to their original destination.",
	KEYS(direct_keys),
};

/* ---- Health ------------------------------------------------------------------------------- */

#define HEALTH(member) FIELD(struct config_health, member)

static const struct schema_choice health_kinds[] = {
	{"none", HEALTH_NONE, "no checks"},
	{"tcp", HEALTH_TCP, "a connect succeeds"},
	{"http", HEALTH_HTTP, "a GET is answered with one of `status`"},
	{"expect", HEALTH_EXPECT, "the answer to `send`, or a greeting, holds `expect`"},
	{0},
};

static const struct schema_key health_keys[] = {
	{"type", "What shows that an endpoint is well.", .type = &value_choice, HEALTH(kind),
	 .required = true, .fallback = "none", .choices = health_kinds, .example = "tcp"},
	{"interval", "From one check to the next.", .type = &value_time, HEALTH(interval),
	 .fallback = "2s", .min = 10, .max = 24 * HOUR},
	{"jitter", "Each interval is longer or shorter by up to this share, at random.",
	 .type = &value_percent, HEALTH(jitter_percent), .fallback = "10%", .max = 100},
	{"timeout", "A check that takes longer has failed.", .type = &value_time, HEALTH(timeout),
	 .fallback = "1s", .min = 1, .max = HOUR},
	{"rise", "Good checks in a row that bring an endpoint back.", .type = &value_count,
	 HEALTH(rise), .fallback = "2", .min = 1, .max = 1000},
	{"fall", "Bad checks in a row that take it out.", .type = &value_count, HEALTH(fall),
	 .fallback = "3", .min = 1, .max = 1000},
	{"port", "Check this port.", .type = &value_count, HEALTH(port),
	 .otherwise = "the endpoint's own", .min = 1, .max = 65535},
	{"path", "What to GET.", .type = &value_url_path, HEALTH(path), .fallback = "/",
	 .only_for = "http", .max = 1024},
	{"host", "The request's Host.", .type = &value_authority, HEALTH(host),
	 .otherwise = "the endpoint's address", .only_for = "http", .max = 255},
	{"status", "What the answer's status may be.", .type = &value_ranges, HEALTH(statuses),
	 .fallback = "200-299", .only_for = "http", .min = 100, .max = 599,
	 .example = "200 or 200-299"},
	{"send", "What to send.", .type = &value_text, HEALTH(send), .otherwise = "nothing",
	 .only_for = "expect"},
	{"expect", "What the answer must hold.", .type = &value_text, HEALTH(expect),
	 .required = true, .only_for = "expect", .example = "+PONG"},
	{"send_proxy",
	 "Begin with a PROXY protocol v2 header (LOCAL). With `proxy_protocol` a check to the "
	 "endpoint's own port has one in any case, of that version (`v1`: UNKNOWN).",
	 .type = &value_bool, HEALTH(send_proxy), .fallback = "false"},
};

static const struct schema_object health = {
	.title = "upstreams[].health",
	.name = "health",
	.help = "Active checks of each endpoint. A single value is `type`.",
	KEYS(health_keys),
	.shorthand = "type",
	.selector = "type",
};

#define EJECTION(member) FIELD(struct config_ejection, member)

static const struct schema_key ejection_keys[] = {
	{"failures", "Failed connects or early resets in a row that eject an endpoint. 0: never.",
	 .type = &value_count, EJECTION(failures), .fallback = "5", .max = 1000000},
	{"early_reset",
	 "A reset by the endpoint this soon after the connect is a failure. 0: none.",
	 .type = &value_time, EJECTION(early_reset), .fallback = "1s", .max = HOUR},
	{"time", "For how long, the first time; doubled by each ejection that follows.",
	 .type = &value_time, EJECTION(time), .fallback = "10s", .min = 1, .max = TIME_MAX},
	{"time_max", "And at most.", .type = &value_time, EJECTION(time_max), .fallback = "5m",
	 .min = 1, .max = TIME_MAX},
	{"panic", "When fewer endpoints than this share are usable, all of them are used.",
	 .type = &value_percent, EJECTION(panic_percent), .fallback = "50%", .max = 100},
};

static const struct schema_object ejection = {
	.title = "upstreams[].ejection",
	.name = "ejection",
	.help = "Passive health: what flows see of an endpoint. A single value is `failures`.",
	KEYS(ejection_keys),
	.shorthand = "failures",
};

/* ---- An upstream -------------------------------------------------------------------------- */

static const struct schema_choice balances[] = {
	{"round_robin", BALANCE_ROUND_ROBIN, "in turn, by weight"},
	{"least_connections", BALANCE_LEAST_CONNECTIONS,
	 "the one with the fewest flows for its weight"},
	{"random_two", BALANCE_RANDOM_TWO, "the less busy of two taken at random"},
	{"source_hash", BALANCE_SOURCE_HASH, "by the client's address"},
	{"maglev", BALANCE_MAGLEV,
	 "by the client's address, with few clients moved when an endpoint comes or goes"},
	{0},
};

static const struct schema_key upstream_keys[] = {
	{"name", "What routes, messages and commands call it.", .type = &value_name, UPSTREAM(name),
	 .required = true, .example = "web"},
	{"balance", "Which endpoint takes the next flow.", .type = &value_choice, UPSTREAM(balance),
	 .fallback = "round_robin", .choices = balances},
	{"endpoints", "The servers.", .object = &endpoint,
	 MANY(struct config_upstream, endpoints, endpoint_count), .required = true,
	 .max = SCHEMA_ENDPOINTS_MAX, .example = "127.0.0.1:8080"},
	{"slow_start", "An endpoint that is new or back gets its full share only after this long.",
	 .type = &value_time, UPSTREAM(slow_start), .fallback = "0s", .max = 24 * HOUR},
	{"retries", "", .object = &retries, .offset = 0},
	{"timeouts", "", .object = &schema_timeouts, .offset = 0},
	{"tcp", "", .object = &tcp_upstream, .offset = offsetof(struct config_upstream, tcp)},
	PROXY_PROTOCOL,
	{"health", "", .object = &health, .offset = offsetof(struct config_upstream, health)},
	{"ejection", "", .object = &ejection, .offset = offsetof(struct config_upstream, ejection)},
};

const struct schema_object schema_upstream = {
	.title = "upstreams[]",
	.name = "upstream",
	.help = "A pool of servers.",
	KEYS(upstream_keys),
	.size = sizeof(struct config_upstream),
};
