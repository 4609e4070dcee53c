/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CONFIG_H
#define PROXYD_CONFIG_H

/*
 * The whole of what proxyd was asked to do, checked and with every default filled in: read from
 * the YAML file, or made from the options of `proxyd run`. Plain data that nobody changes once
 * it is loaded. Times in milliseconds (0: none), sizes in bytes, rates per second.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/address.h"
#include "policy/cidr.h"

enum lane_choice {
	LANE_AUTO,
	LANE_KERNEL,
	LANE_RELAY,
};

struct string_list {
	char **items;
	unsigned int count;
};

/* Of ports, statuses or user IDs. */
struct port_range {
	uint32_t first;
	uint32_t last;
};

struct port_list {
	struct port_range *items;
	unsigned int count;
};

enum source_kind {
	SOURCE_OWN,       /* an address of this host */
	SOURCE_CLIENT_IP, /* the client's, with any port */
	SOURCE_CLIENT,    /* with its port, if that can be had */
};

struct config_source {
	enum source_kind kind;
	struct address address; /* SOURCE_OWN: port 0; length 0: the system's choice */
};

/* What is set on each socket of one side. Zeros leave the system's default. */
struct config_tcp {
	uint64_t keepalive_idle; /* 0: no keepalive */
	uint64_t keepalive_interval;
	uint32_t keepalive_count;
	uint64_t user_timeout; /* TCP_USER_TIMEOUT */
	uint64_t send_buffer;
	uint64_t receive_buffer;
	bool nodelay;
	uint32_t mark; /* SO_MARK */
	/* Of upstream sockets only: */
	struct config_source source;
	char *interface; /* SO_BINDTODEVICE; NULL: none */
};

enum limit_action {
	LIMIT_REJECT, /* close the client at once */
	LIMIT_QUEUE,  /* let it wait for `queue_timeout` */
};

struct config_limits {
	uint64_t max_flows;
	uint64_t max_flows_per_source;
	uint64_t rate_per_source; /* connections a second from one address */
	uint64_t rate_burst;      /* connections that may come at once beyond the rate */
	uint64_t bandwidth;       /* bytes a second of all flows of the listener, each direction */
	uint64_t flow_bandwidth;  /* bytes a second of a flow, each direction */
	enum limit_action action;
	uint64_t queue_timeout;
};

/* How connections that are meant for others come to a listener. */
enum intercept_mode {
	INTERCEPT_NONE, /* they do not */
	INTERCEPT_CONNECT,
	INTERCEPT_REDIRECT,
	/* From here on the local address of a connection is the destination. */
	INTERCEPT_TPROXY,
	INTERCEPT_STEER,
};

/* Whose connections they are, or'ed. */
enum intercept_traffic {
	INTERCEPT_LOCAL = 1 << 0,   /* of processes of this host */
	INTERCEPT_ROUTED = 1 << 1,  /* that pass through this host */
	INTERCEPT_INBOUND = 1 << 2, /* of others to this host */
};

/* Who puts the rules of netfilter and routing in place. */
enum intercept_rules {
	INTERCEPT_RULES_UNSET,
	INTERCEPT_RULES_INSTALL, /* proxyd */
	INTERCEPT_RULES_SKIP,    /* somebody else */
};

/* Where new connections go when proxyd is gone, however it went. */
enum intercept_exit {
	INTERCEPT_EXIT_UNSET,
	INTERCEPT_EXIT_OPEN, /* where they are meant to go */
	INTERCEPT_EXIT_CLOSED,
};

/* The connections that are brought to a listener. Empty lists leave nothing out. */
struct config_intercept {
	enum intercept_mode mode;
	enum intercept_exit on_exit;
	enum intercept_rules rules;
	unsigned int traffic;          /* enum intercept_traffic, or'ed */
	struct string_list interfaces; /* that they come in by; empty: any */
	char *cgroup;                  /* of the processes whose connections they are; NULL: any */
	struct cidr_list destinations;
	struct cidr_list exclude; /* goes before `destinations` */
	struct port_list ports;
	struct port_list users;
};

/* What begins a connection to an upstream: nothing, or a PROXY protocol header of that version. */
enum proxy_version {
	PROXY_NONE = 0,
	PROXY_V1 = 1,
	PROXY_V2 = 2,
};

enum proxy_others {
	PROXY_OTHERS_REJECT,
	PROXY_OTHERS_PASS,
};

/* Whom to believe who a client is. */
struct config_proxy_header {
	struct cidr_list from; /* empty: nobody */
	enum proxy_others others;
	uint64_t timeout;
};

struct config_listener {
	char *name;
	struct address address;
	struct cidr_list allow; /* empty: everybody */
	struct cidr_list deny;  /* goes before `allow` */
	struct config_limits limits;
	uint64_t inspect_timeout; /* how long to wait for the first bytes, where a route asks */
	uint64_t inspect_size;    /* and how many bytes of them to look at */
	struct config_tcp tcp;
	struct config_proxy_header proxy_header;
	struct config_intercept intercept;
};

/* First bytes that tell a protocol; PROTOCOL_OTHER: none of them, or silence. */
enum protocol {
	PROTOCOL_TLS = 1 << 0,
	PROTOCOL_HTTP = 1 << 1,
	PROTOCOL_SSH = 1 << 2,
	PROTOCOL_OTHER = 1 << 3,
};

/* Every list that is not empty must have a member that fits. */
struct config_match {
	struct string_list listeners;
	struct cidr_list sources;
	struct cidr_list destinations; /* the original destination */
	struct port_list ports;        /* its port */
	struct string_list sni;        /* "example.org", "*.example.org" */
	struct string_list alpn;
	struct string_list hosts; /* as sni; without a port */
	unsigned int protocols;   /* enum protocol, or'ed; 0: any */
};

enum route_action {
	ROUTE_UPSTREAM,
	ROUTE_ORIGINAL, /* to the original destination */
	ROUTE_RESET,    /* reject with RST */
	ROUTE_CLOSE,    /* reject with FIN */
};

#define CONFIG_NONE (-1)

struct config_route {
	char *name;
	struct config_match match;
	enum route_action action;
	int upstream; /* index, for ROUTE_UPSTREAM; else CONFIG_NONE: config->direct has the options
		       */
	int mirror; /* index of the upstream that gets a copy of the client's bytes, or CONFIG_NONE
		     */
};

enum balance {
	BALANCE_ROUND_ROBIN, /* weighted where weights differ */
	BALANCE_LEAST_CONNECTIONS,
	BALANCE_RANDOM_TWO,
	BALANCE_SOURCE_HASH,
	BALANCE_MAGLEV,
};

enum endpoint_kind {
	ENDPOINT_ADDRESS,
	ENDPOINT_NAME, /* A and AAAA records */
	ENDPOINT_SRV,
};

#define ENDPOINT_WEIGHT_MAX 256

struct config_endpoint {
	enum endpoint_kind kind;
	char *text;             /* as it was written: its name in messages, status and commands */
	struct address address; /* ENDPOINT_ADDRESS */
	char *host;             /* ENDPOINT_NAME, ENDPOINT_SRV */
	uint16_t port;          /* ENDPOINT_NAME */
	uint32_t weight;        /* 0 takes no new flows */
	bool backup;            /* used only when no other is usable */
	uint64_t max_flows;
};

enum health_kind {
	HEALTH_NONE,
	HEALTH_TCP,
	HEALTH_HTTP,
	HEALTH_EXPECT,
};

struct config_health {
	enum health_kind kind;
	uint64_t interval;
	uint32_t jitter_percent; /* of the interval */
	uint64_t timeout;
	uint32_t rise;             /* good checks in a row that bring an endpoint back */
	uint32_t fall;             /* bad checks in a row that take it out */
	uint16_t port;             /* 0: the endpoint's own */
	char *path;                /* HEALTH_HTTP */
	char *host;                /* HEALTH_HTTP; NULL: the endpoint's address */
	struct port_list statuses; /* HEALTH_HTTP */
	char *send;                /* HEALTH_EXPECT; NULL: nothing */
	char *expect;              /* HEALTH_EXPECT: a string that the answer must hold */
	bool send_proxy;           /* begin with a PROXY protocol v2 LOCAL header */
	enum proxy_version header; /* what a check begins with; follows from the others */
};

/* Passive health: what flows see of an endpoint. */
struct config_ejection {
	uint32_t failures;    /* failed connects or early resets in a row that eject; 0: never */
	uint64_t early_reset; /* a RST within this time of the connect is a failure */
	uint64_t time;        /* the first ejection; doubled for each that follows */
	uint64_t time_max;
	uint32_t panic_percent; /* with fewer usable endpoints than this share, all are used */
};

struct config_upstream {
	char *name;
	enum balance balance;
	struct config_endpoint *endpoints;
	unsigned int endpoint_count;
	uint64_t slow_start;
	uint32_t retries;          /* other endpoints to try when a connect fails */
	uint32_t retry_budget;     /* retries at most, as a percentage of the connects that ... */
	uint32_t retry_budget_min; /* ... are under way, and this many in any case */
	uint64_t connect_timeout;
	uint64_t idle_timeout;
	uint64_t max_lifetime;
	uint64_t queue_timeout; /* wait this long when every endpoint is at max_flows; 0: reject */
	struct config_tcp tcp;
	enum proxy_version proxy_protocol;
	struct config_health health;
	struct config_ejection ejection;
};

/* Of connections that do not go through proxyd. Empty lists leave nothing out; zeros: the default.
 */
struct config_acceleration {
	char *cgroup; /* NULL: none is accelerated */
	struct string_list exclude_cgroups;
	struct cidr_list addresses, exclude_addresses; /* of either end */
	struct port_list ports, exclude_ports;         /* of either end */
	struct port_list users, exclude_users;
	struct string_list programs;
	int any_program, translated, existing; /* 0 or 1 */
	uint64_t interval;
	uint64_t drain_timeout;
	char *pin;
};

/* The key of a list with more members than a program takes; NULL: there is none. */
const char *config_acceleration_excess(const struct config_acceleration *acceleration);

enum access_flows {
	ACCESS_ALL,
	ACCESS_FAILED,
};

struct config_access_log {
	char *to; /* NULL: there is none */
	enum access_flows flows;
};

struct config {
	char *path; /* of the file; NULL: from options */

	/* Taken at the start only; a reload that changes one of these says that it needs a restart.
	 */
	uint64_t workers; /* 0: one a core */
	enum lane_choice lane;
	uint64_t window;
	char *control;
	char *cgroup; /* NULL: found by itself */
	bool direct_lane;
	struct string_list direct_programs; /* besides the known ones */
	char *pin;

	struct config_access_log access_log;
	uint64_t drain_timeout;
	struct string_list dns_servers; /* empty: /etc/resolv.conf */

	struct config_listener *listeners;
	unsigned int listener_count;
	struct config_route *routes; /* first match wins; nothing matches: rejected with RST */
	unsigned int route_count;
	struct config_upstream *upstreams;
	unsigned int upstream_count;
	struct config_acceleration acceleration;
	struct config_upstream direct; /* options for ROUTE_ORIGINAL: no endpoints */
};

void config_free(struct config *config);

#endif
