// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "stats.h"

const char *const error_names[ERROR_KINDS] = {
	[ERROR_CONNECT_REFUSED] = "connect_refused",
	[ERROR_CONNECT_TIMEOUT] = "connect_timeout",
	[ERROR_CONNECT_OTHER] = "connect_other",
	[ERROR_RESET_DOWNSTREAM] = "reset_downstream",
	[ERROR_RESET_UPSTREAM] = "reset_upstream",
	[ERROR_IDLE_TIMEOUT] = "idle_timeout",
	[ERROR_DRAIN_TIMEOUT] = "drain_timeout",
	[ERROR_ACCEPT] = "accept",
	[ERROR_RESOURCES] = "resources",
	[ERROR_UNTRIMMED] = "untrimmed",
	[ERROR_LIFETIME] = "lifetime",
	[ERROR_PROXY_HEADER] = "proxy_header",
	[ERROR_DENIED] = "denied",
	[ERROR_MAX_FLOWS] = "max_flows",
	[ERROR_SOURCE_FLOWS] = "source_flows",
	[ERROR_SOURCE_RATE] = "source_rate",
	[ERROR_QUEUE_TIMEOUT] = "queue_timeout",
	[ERROR_NO_ROUTE] = "no_route",
	[ERROR_REJECTED] = "rejected",
	[ERROR_NO_ENDPOINT] = "no_endpoint",
};
