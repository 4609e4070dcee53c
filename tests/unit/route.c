// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <string.h>

#include "policy/route.h"
#include "unit/address.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define NAMES(...)                                                                                 \
	{                                                                                          \
		.items = (char *[]){__VA_ARGS__},                                                  \
		.count = sizeof((char *[]){__VA_ARGS__}) / sizeof(char *),                         \
	}

Test(route, names)
{
	static const struct {
		const char *pattern, *name;
		bool fits;
	} cases[] = {
		{"shop.example.org", "shop.example.org", true},
		{"shop.example.org", "example.org", false},
		{"shop.example.org", "shop.example.or", false},
		{"shop.example.org", "shop.example.orgy", false},
		{"shop.example.org", "a.shop.example.org", false},
		{"shop.example.org", "", false},
		{"*.example.org", "shop.example.org", true},
		{"*.example.org", "x.example.org", true},
		{"*.example.org", "a.shop.example.org", false},
		{"*.example.org", "example.org", false},
		{"*.example.org", ".example.org", false},
		{"*.example.org", "shopexample.org", false},
		{"*.example.org", "shop.example.net", false},
		{"*.example.org", "", false},
		{"*.org", "example.org", true},
		{"*", "shop.example.org", true},
		{"*", "localhost", true},
		{"*", "", false},
		{"", "", false},
		{"[::1]", "[::1]", true},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		cr_expect_eq(route_name_fits(cases[i].pattern, cases[i].name), cases[i].fits,
			     "'%s' for '%s'", cases[i].pattern, cases[i].name);
}

/* A connection to listener "web" from 10.1.2.3; "" for an original destination that is not known.
 */
static enum route_result find(const struct config *config, const char *destination,
			      const struct inspected *inspected, const char **name)
{
	struct address from = address_of("10.1.2.3:50000"), to = address_of(destination);
	const struct route_facts facts = {
		.listener = "web",
		.source = &from,
		.destination = &to,
		.inspected = inspected,
	};
	const struct config_route *route = NULL;
	enum route_result result = route_find(config, &facts, &route);

	*name = route ? route->name : "";
	return result;
}

static void expect_found(const struct config *config, const char *destination,
			 const struct inspected *inspected, const char *expected)
{
	const char *name;
	enum route_result result = find(config, destination, inspected, &name);

	cr_expect_eq(result, *expected ? ROUTE_FOUND : ROUTE_NONE, "%s: %d", expected, result);
	cr_expect_str_eq(name, expected, "'%s' instead of '%s'", name, expected);
}

static void expect_inspection(const struct config *config, bool asked)
{
	const char *name;

	cr_expect_eq(find(config, "", NULL, &name) == ROUTE_INSPECT, asked);
	if (asked)
		cr_expect_str_empty(name);
}

Test(route, none)
{
	const struct config config = {.route_count = 0};

	expect_found(&config, "192.0.2.7:443", NULL, "");
}

Test(route, first_match_wins)
{
	struct cidr lan = cidr_of("10.0.0.0/8");
	struct config_route routes[] = {
		{.name = "other listener", .match.listeners = NAMES("mail", "webmail")},
		{.name = "lan", .match.sources = {.items = &lan, .count = 1}},
		{.name = "all"},
		{.name = "never"},
	};
	struct config config = {.routes = routes, .route_count = COUNT(routes)};

	expect_found(&config, "", NULL, "lan");
	lan = cidr_of("10.9.0.0/16");
	expect_found(&config, "", NULL, "all");
	routes[0].match.listeners.items[1] = "web";
	expect_found(&config, "", NULL, "other listener");
}

/* Any member of a list, but something of every list. */
Test(route, destination)
{
	struct cidr nets[] = {cidr_of("192.0.2.0/24"), cidr_of("2001:db8::/32")};
	struct port_range ports[] = {{443, 443}, {8000, 8010}};
	struct config_route route = {
		.name = "net",
		.match.destinations = {.items = nets, .count = COUNT(nets)},
		.match.ports = {.items = ports, .count = COUNT(ports)},
	};
	const struct config config = {.routes = &route, .route_count = 1};

	expect_found(&config, "192.0.2.7:443", NULL, "net");
	expect_found(&config, "192.0.2.7:8000", NULL, "net");
	expect_found(&config, "192.0.2.7:8010", NULL, "net");
	expect_found(&config, "[2001:db8::7]:8005", NULL, "net");
	expect_found(&config, "192.0.2.7:8011", NULL, "");
	expect_found(&config, "192.0.2.7:7999", NULL, "");
	expect_found(&config, "192.0.3.7:443", NULL, "");
	expect_found(&config, "[2001:db9::7]:443", NULL, "");
	expect_found(&config, "", NULL, "");
	nets[0] = cidr_of("0.0.0.0/0");
	expect_found(&config, "198.51.100.1:443", NULL, "net");
	route.match.destinations.count = 0;
	expect_found(&config, "", NULL, "");
	expect_found(&config, "198.51.100.1:443", NULL, "net");
	route.match.ports.count = 0;
	expect_found(&config, "", NULL, "net");
	/* Not even every address is one that is not known. */
	route.match.destinations.count = COUNT(nets);
	expect_found(&config, "", NULL, "");
	expect_found(&config, "198.51.100.1:443", NULL, "net");
}

static const struct config_match asking[] = {
	{.sni = NAMES("shop.example.org")},
	{.hosts = NAMES("shop.example.org")},
	{.alpn = NAMES("h2")},
	{.protocols = PROTOCOL_SSH},
	{.protocols = PROTOCOL_OTHER},
};

/* Only a route that all else leads to may have a client waited for. */
Test(route, asks_for_first_bytes_only_when_it_depends_on_them)
{
	struct cidr strangers = cidr_of("192.0.2.0/24");
	struct port_range port = {443, 443};

	for (size_t i = 0; i < COUNT(asking); i++) {
		struct config_route routes[] = {
			{.name = "asking", .match = asking[i]},
			{.name = "all"},
		};
		struct config config = {.routes = routes, .route_count = COUNT(routes)};

		expect_inspection(&config, true);
		routes[0].match.sources = (struct cidr_list){.items = &strangers, .count = 1};
		expect_inspection(&config, false);
		routes[0].match = asking[i];
		routes[0].match.listeners = (struct string_list)NAMES("mail");
		expect_inspection(&config, false);
		routes[0].match = asking[i];
		routes[0].match.destinations = (struct cidr_list){.items = &strangers, .count = 1};
		expect_inspection(&config, false);
		routes[0].match = asking[i];
		routes[0].match.ports = (struct port_list){.items = &port, .count = 1};
		expect_inspection(&config, false);
		/* Behind a route that takes everything none is reached. */
		routes[0].match = (struct config_match){.sources.count = 0};
		routes[1].match = asking[i];
		expect_inspection(&config, false);
		expect_found(&config, "", NULL, "asking");
	}
}

Test(route, no_route_asks)
{
	struct config_route route = {.name = "all"};
	const struct config config = {.routes = &route, .route_count = 1};

	expect_inspection(&config, false);
	expect_found(&config, "", NULL, "all");
}

Test(route, by_first_bytes)
{
	struct config_route routes[] = {
		{.name = "ssh", .match.protocols = PROTOCOL_SSH},
		{.name = "shop h2",
		 .match = {.sni = NAMES("shop.example.org", "*.shop.example.org"),
			   .alpn = NAMES("h3", "h2")}},
		{.name = "shop", .match.sni = NAMES("shop.example.org")},
		{.name = "tls", .match.protocols = PROTOCOL_TLS},
		{.name = "web", .match.hosts = NAMES("www.example.org")},
		{.name = "http or silence", .match.protocols = PROTOCOL_HTTP | PROTOCOL_OTHER},
	};
	const struct config config = {.routes = routes, .route_count = COUNT(routes)};
	static const struct {
		struct inspected inspected;
		const char *route;
	} cases[] = {
		{{.protocol = PROTOCOL_SSH}, "ssh"},
		{{.protocol = PROTOCOL_TLS,
		  .sni = "shop.example.org",
		  .alpn = "\2h2",
		  .alpn_size = 3},
		 "shop h2"},
		{{.protocol = PROTOCOL_TLS,
		  .sni = "a.shop.example.org",
		  .alpn = "\2h3",
		  .alpn_size = 3},
		 "shop h2"},
		{{.protocol = PROTOCOL_TLS, .sni = "a.shop.example.org"}, "tls"},
		{{.protocol = PROTOCOL_TLS, .sni = "shop.example.org"}, "shop"},
		{{.protocol = PROTOCOL_TLS,
		  .sni = "shop.example.org",
		  .alpn = "\2h1",
		  .alpn_size = 3},
		 "shop"},
		{{.protocol = PROTOCOL_TLS, .alpn = "\2h2", .alpn_size = 3}, "tls"},
		{{.protocol = PROTOCOL_HTTP, .host = "www.example.org"}, "web"},
		{{.protocol = PROTOCOL_HTTP, .host = "shop.example.org"}, "http or silence"},
		{{.protocol = PROTOCOL_HTTP}, "http or silence"},
		{{.protocol = PROTOCOL_OTHER}, "http or silence"},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		expect_found(&config, "", &cases[i].inspected, cases[i].route);
	expect_inspection(&config, true);
}

/* Having looked at the first bytes, a route that needs none is still found. */
Test(route, inspected_without_need)
{
	const struct inspected inspected = {.protocol = PROTOCOL_OTHER};
	struct config_route routes[] = {
		{.name = "shop", .match.sni = NAMES("shop.example.org")},
		{.name = "all"},
	};
	const struct config config = {.routes = routes, .route_count = COUNT(routes)};

	expect_found(&config, "", &inspected, "all");
}
