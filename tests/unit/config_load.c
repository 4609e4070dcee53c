// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What configuration files load to. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"
#include "config/print.h"
#include "config/settings.h"
#include "unit/capture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct config *loaded(const char *text)
{
	struct config_report report = {0};
	struct config *config = NULL;
	int err = config_load_text("f", text, strlen(text), &config, &report);

	for (unsigned int i = 0; i < report.count; i++)
		if (report.messages[i].level == REPORT_ERROR)
			cr_log_error("%s", report.messages[i].text);
	report_clear(&report);
	cr_assert_eq(err, 0, "of\n%s", text);
	return config;
}

static const char smallest[] = "listeners: 127.0.0.1:9000\n"
			       "routes: {upstream: web}\n"
			       "upstreams: {name: web, endpoints: 127.0.0.1:8080}\n";

Test(config_load, defaults_of_the_process)
{
	struct config *config = loaded(smallest);

	cr_expect_str_eq(config->path, "f");
	cr_expect_eq(config->workers, 0);
	cr_expect_eq(config->lane, LANE_AUTO);
	cr_expect_eq(config->window, 4 << 20);
	cr_expect_str_eq(config->control, "/run/proxyd/control.sock");
	cr_expect_str_eq(config->control, SETTINGS_CONTROL_DEFAULT);
	cr_expect_null(config->cgroup);
	cr_expect_eq(config->drain_timeout, 30000);
	cr_expect_null(config->access_log.to);
	cr_expect_eq(config->access_log.flows, ACCESS_ALL);
	cr_expect_eq(config->dns_servers.count, 0);
	cr_expect_eq(config->direct.connect_timeout, 10000);
	cr_expect_eq(config->direct.idle_timeout, 3600000);
	cr_expect(config->direct.tcp.nodelay);
	cr_expect_eq(config->direct.endpoint_count, 0);
	config_free(config);
}

Test(config_load, defaults_of_a_listener_and_a_route)
{
	struct config *config = loaded(smallest);
	const struct config_listener *listener = config->listeners;
	const struct config_route *route = config->routes;

	cr_assert_eq(config->listener_count, 1);
	cr_expect_str_eq(listener->name, "listener-1");
	cr_expect_eq(ntohs(listener->address.ipv4.sin_port), 9000);
	cr_expect_eq(listener->allow.count + listener->deny.count, 0);
	cr_expect_eq(listener->limits.max_flows, 0);
	cr_expect_eq(listener->limits.rate_burst, 0);
	cr_expect_eq(listener->limits.action, LIMIT_REJECT);
	cr_expect_eq(listener->limits.queue_timeout, 5000);
	cr_expect_eq(listener->inspect_timeout, 5000);
	cr_expect_eq(listener->inspect_size, 32768);
	cr_expect(listener->tcp.nodelay);
	cr_expect_eq(listener->tcp.keepalive_idle, 0);
	cr_assert_eq(config->route_count, 1);
	cr_expect_str_eq(route->name, "route-1");
	cr_expect_eq(route->action, ROUTE_UPSTREAM);
	cr_expect_eq(route->upstream, 0);
	cr_expect_eq(route->mirror, CONFIG_NONE);
	cr_expect_eq(route->match.protocols, 0);
	config_free(config);
}

Test(config_load, defaults_of_an_upstream)
{
	struct config *config = loaded(smallest);
	const struct config_upstream *upstream = config->upstreams;

	cr_assert_eq(config->upstream_count, 1);
	cr_expect_str_eq(upstream->name, "web");
	cr_expect_eq(upstream->balance, BALANCE_ROUND_ROBIN);
	cr_assert_eq(upstream->endpoint_count, 1);
	cr_expect_eq(upstream->endpoints->kind, ENDPOINT_ADDRESS);
	cr_expect_str_eq(upstream->endpoints->text, "127.0.0.1:8080");
	cr_expect_null(upstream->endpoints->host);
	cr_expect_eq(upstream->endpoints->weight, 1);
	cr_expect_not(upstream->endpoints->backup);
	cr_expect_eq(upstream->slow_start, 0);
	cr_expect_eq(upstream->retries, 3);
	cr_expect_eq(upstream->retry_budget, 20);
	cr_expect_eq(upstream->retry_budget_min, 100);
	cr_expect_eq(upstream->connect_timeout, 10000);
	cr_expect_eq(upstream->idle_timeout, 3600000);
	cr_expect_eq(upstream->max_lifetime, 0);
	cr_expect_eq(upstream->queue_timeout, 0);
	cr_expect_eq(upstream->health.kind, HEALTH_NONE);
	cr_expect_eq(upstream->health.interval, 2000);
	cr_expect_eq(upstream->ejection.failures, 5);
	cr_expect_eq(upstream->ejection.early_reset, 1000);
	cr_expect_eq(upstream->ejection.time, 10000);
	cr_expect_eq(upstream->ejection.time_max, 300000);
	cr_expect_eq(upstream->ejection.panic_percent, 50);
	config_free(config);
}

Test(config_load, a_listener_in_full)
{
	struct config *config = loaded(
		"listeners:\n"
		"- name: web\n"
		"  address: \"[2001:db8::1]:443\"\n"
		"  allow: [10.0.0.0/8, 2001:db8::/32]\n"
		"  deny: 10.9.0.0/16\n"
		"  inspect: {timeout: 2s, size: 64KiB}\n"
		"  limits: {max_flows: 10000, max_flows_per_source: 100, rate_per_source: 50/s,\n"
		"           bandwidth: 1Gbit/s, flow_bandwidth: 10MiB, action: queue,\n"
		"           queue_timeout: 7s}\n"
		"  tcp: {keepalive: {idle: 60s, interval: 10s, count: 6}, user_timeout: 30s,\n"
		"        nodelay: false, send_buffer: 1MiB, receive_buffer: 2MB, mark: 0x1f}\n"
		"routes: {reject: reset}\n");
	const struct config_listener *listener = config->listeners;

	cr_expect_str_eq(listener->name, "web");
	cr_expect_eq(listener->address.any.sa_family, AF_INET6);
	cr_assert_eq(listener->allow.count, 2);
	cr_expect_eq(listener->allow.items[0].prefix, 96 + 8);
	cr_expect_eq(listener->allow.items[1].prefix, 32);
	cr_assert_eq(listener->deny.count, 1);
	cr_expect_eq(listener->inspect_timeout, 2000);
	cr_expect_eq(listener->inspect_size, 65536);
	cr_expect_eq(listener->limits.max_flows, 10000);
	cr_expect_eq(listener->limits.max_flows_per_source, 100);
	cr_expect_eq(listener->limits.rate_per_source, 50);
	cr_expect_eq(listener->limits.rate_burst, 50);
	cr_expect_eq(listener->limits.bandwidth, 125000000);
	cr_expect_eq(listener->limits.flow_bandwidth, 10 << 20);
	cr_expect_eq(listener->limits.action, LIMIT_QUEUE);
	cr_expect_eq(listener->limits.queue_timeout, 7000);
	cr_expect_eq(listener->tcp.keepalive_idle, 60000);
	cr_expect_eq(listener->tcp.keepalive_interval, 10000);
	cr_expect_eq(listener->tcp.keepalive_count, 6);
	cr_expect_eq(listener->tcp.user_timeout, 30000);
	cr_expect_not(listener->tcp.nodelay);
	cr_expect_eq(listener->tcp.send_buffer, 1 << 20);
	cr_expect_eq(listener->tcp.receive_buffer, 2000000);
	cr_expect_eq(listener->tcp.mark, 31);
	config_free(config);
}

Test(config_load, routes_in_full)
{
	struct config *config = loaded(
		"listeners: [{name: web, address: 127.0.0.1:1}, {name: ssh, address: "
		"127.0.0.1:2}]\n"
		"upstreams: [{name: a, endpoints: 127.0.0.1:3}, {name: b, endpoints: "
		"127.0.0.1:4}]\n"
		"routes:\n"
		"- name: shop\n"
		"  match: {listener: [web, ssh], source: 10.1.0.0/16, destination: 192.0.2.0/24,\n"
		"          port: [443, 8000-8010], sni: [Shop.Example.ORG., \"*.example.org\"],\n"
		"          alpn: [h2, http/1.1], protocol: [tls, other]}\n"
		"  upstream: b\n"
		"  mirror: a\n"
		"- {match: {host: [A.example.org, \"[2001:DB8:0::1]\"], protocol: http}, reject: "
		"close}\n"
		"- {match: {listener: ssh}, reject: reset}\n"
		"- {match: {}, original_destination: true, mirror: b}\n");
	const struct config_match *match = &config->routes[0].match;

	cr_assert_eq(config->route_count, 4);
	cr_expect_str_eq(match->listeners.items[1], "ssh");
	cr_expect_eq(match->sources.count + match->destinations.count, 2);
	cr_assert_eq(match->ports.count, 2);
	cr_expect_eq(match->ports.items[0].first, 443);
	cr_expect_eq(match->ports.items[0].last, 443);
	cr_expect_eq(match->ports.items[1].first, 8000);
	cr_expect_eq(match->ports.items[1].last, 8010);
	cr_expect_str_eq(match->sni.items[0], "shop.example.org");
	cr_expect_str_eq(match->sni.items[1], "*.example.org");
	cr_expect_str_eq(match->alpn.items[1], "http/1.1");
	cr_expect_eq(match->protocols, PROTOCOL_TLS | PROTOCOL_OTHER);
	cr_expect_eq(config->routes[0].upstream, 1);
	cr_expect_eq(config->routes[0].mirror, 0);
	cr_expect_eq(config->routes[1].action, ROUTE_CLOSE);
	cr_expect_eq(config->routes[1].upstream, CONFIG_NONE);
	cr_expect_str_eq(config->routes[1].match.hosts.items[0], "a.example.org");
	cr_expect_str_eq(config->routes[1].match.hosts.items[1], "[2001:db8::1]");
	cr_expect_eq(config->routes[2].action, ROUTE_RESET);
	cr_expect_eq(config->routes[3].action, ROUTE_ORIGINAL);
	cr_expect_eq(config->routes[3].upstream, CONFIG_NONE);
	cr_expect_eq(config->routes[3].mirror, 1);
	cr_expect_str_eq(config->routes[3].name, "route-4");
	config_free(config);
}

Test(config_load, an_upstream_in_full)
{
	struct config *config = loaded(
		"listeners: 127.0.0.1:1\n"
		"routes: {upstream: a}\n"
		"upstreams:\n"
		"- name: a\n"
		"  balance: maglev\n"
		"  endpoints:\n"
		"  - 127.0.0.1:8080\n"
		"  - {address: Backend.example.org:8081, weight: 2, backup: true, max_flows: 100}\n"
		"  - {srv: _http._tcp.example.org}\n"
		"  - \"[::1]:80\"\n"
		"  slow_start: 30s\n"
		"  retries: {attempts: 2, budget: 30%, budget_min: 4}\n"
		"  timeouts: {connect: 1s, idle: 2m, lifetime: 3h, queue: 250ms}\n"
		"  tcp: {interface: eth0, mark: 7, keepalive: 5s}\n"
		"  health: {type: http, path: /healthz, host: \"x:80\", status: [200, 204-299], "
		"port: 81,\n"
		"           interval: 3s, jitter: 5%, timeout: 2s, rise: 4, fall: 5, send_proxy: "
		"true}\n"
		"  ejection: {failures: 0, early_reset: 0, time: 1s, time_max: 2s, panic: 0%}\n");
	const struct config_upstream *upstream = config->upstreams;
	const struct config_endpoint *endpoints = upstream->endpoints;

	cr_expect_eq(upstream->balance, BALANCE_MAGLEV);
	cr_assert_eq(upstream->endpoint_count, 4);
	cr_expect_eq(endpoints[1].kind, ENDPOINT_NAME);
	cr_expect_str_eq(endpoints[1].text, "Backend.example.org:8081");
	cr_expect_str_eq(endpoints[1].host, "Backend.example.org");
	cr_expect_eq(endpoints[1].port, 8081);
	cr_expect_eq(endpoints[1].weight, 2);
	cr_expect(endpoints[1].backup);
	cr_expect_eq(endpoints[1].max_flows, 100);
	cr_expect_eq(endpoints[2].kind, ENDPOINT_SRV);
	cr_expect_str_eq(endpoints[2].text, "_http._tcp.example.org");
	cr_expect_str_eq(endpoints[2].host, "_http._tcp.example.org");
	cr_expect_eq(endpoints[3].kind, ENDPOINT_ADDRESS);
	cr_expect_eq(endpoints[3].address.any.sa_family, AF_INET6);
	cr_expect_eq(upstream->slow_start, 30000);
	cr_expect_eq(upstream->retries, 2);
	cr_expect_eq(upstream->retry_budget, 30);
	cr_expect_eq(upstream->retry_budget_min, 4);
	cr_expect_eq(upstream->connect_timeout, 1000);
	cr_expect_eq(upstream->idle_timeout, 120000);
	cr_expect_eq(upstream->max_lifetime, 3 * 3600000);
	cr_expect_eq(upstream->queue_timeout, 250);
	cr_expect_str_eq(upstream->tcp.interface, "eth0");
	cr_expect_eq(upstream->tcp.keepalive_idle, 5000);
	cr_expect_eq(upstream->health.kind, HEALTH_HTTP);
	cr_expect_str_eq(upstream->health.path, "/healthz");
	cr_expect_str_eq(upstream->health.host, "x:80");
	cr_assert_eq(upstream->health.statuses.count, 2);
	cr_expect_eq(upstream->health.statuses.items[1].first, 204);
	cr_expect_eq(upstream->health.port, 81);
	cr_expect_eq(upstream->health.interval, 3000);
	cr_expect_eq(upstream->health.jitter_percent, 5);
	cr_expect_eq(upstream->health.timeout, 2000);
	cr_expect_eq(upstream->health.rise, 4);
	cr_expect_eq(upstream->health.fall, 5);
	cr_expect(upstream->health.send_proxy);
	cr_expect_eq(upstream->ejection.failures, 0);
	cr_expect_eq(upstream->ejection.early_reset, 0);
	cr_expect_eq(upstream->ejection.time, 1000);
	cr_expect_eq(upstream->ejection.time_max, 2000);
	cr_expect_eq(upstream->ejection.panic_percent, 0);
	config_free(config);
}

/* The first of each pair is a shorter way to say the second. */
Test(config_load, one_thing_in_two_ways)
{
#define POOL "upstreams: {name: a, endpoints: 127.0.0.1:2"
#define REST "listeners: 127.0.0.1:1\nroutes: {upstream: a}\n"
	static const char *const pairs[][2] = {
		{"listeners: 127.0.0.1:1\nroutes: {reject: close}\n",
		 "listeners: [{address: 127.0.0.1:1}]\nroutes: [{reject: close}]\n"},
		{REST POOL "}\n",
		 REST "upstreams: [{name: a, endpoints: [{address: 127.0.0.1:2}]}]"},
		{REST POOL ", retries: 5}\n", REST POOL ", retries: {attempts: 5}}\n"},
		{REST POOL ", health: tcp}\n", REST POOL ", health: {type: tcp}}\n"},
		{REST POOL ", ejection: 5, tcp: {keepalive: 1m}}\n",
		 REST POOL ", ejection: {failures: 5}, tcp: {keepalive: {idle: 60s}}}\n"},
		{REST POOL "}\nwindow: 4194304\ndrain_timeout: 0\n",
		 REST POOL "}\n\nwindow: 4096KiB\ndrain_timeout: 0h\n"},
		/* JSON is YAML. */
		{"{\"listeners\": [\"127.0.0.1:1\"], \"routes\": [{\"reject\": \"close\"}]}",
		 "listeners: 127.0.0.1:1\nroutes: {reject: close}\n"},
		/* Anchors, aliases and merges; what a mapping has itself goes before. */
		{"x-pool: &pool {endpoints: 127.0.0.1:2, retries: 5, balance: maglev}\n" REST
		 "upstreams: {<<: *pool, name: a, retries: 1}\n",
		 REST POOL ", balance: maglev, retries: 1}\n"},
		{"x-1: &1 {retries: 5}\nx-2: &2 {retries: 6, balance: maglev}\n" REST
		 "upstreams: {name: a, endpoints: 127.0.0.1:2, <<: [*1, *2]}\n",
		 REST POOL ", balance: maglev, retries: 5}\n"},
		{"x-1: &1 {retries: 5}\nx-2: &2 {<<: *1, balance: maglev}\n" REST
		 "upstreams: {name: a, endpoints: 127.0.0.1:2, <<: *2}\n",
		 REST POOL ", balance: maglev, retries: 5}\n"},
		{"routes: {reject: close}\nlisteners:\n- {address: 127.0.0.1:1, allow: &a "
		 "10.0.0.0/8}\n"
		 "- {address: 127.0.0.1:2, deny: *a}\n",
		 "routes: {reject: close}\nlisteners:\n- {address: 127.0.0.1:1, allow: "
		 "10.0.0.0/8}\n"
		 "- {address: 127.0.0.1:2, deny: [10.0.0.0/8]}\n"},
		/* The environment. */
		{"lane: ${SIDELANE_LANE}\n" REST POOL "}\n", "lane: relay\n" REST POOL "}\n"},
		{"lane: \"${SIDELANE_LANE:-kernel}\"\n" REST POOL "}\n",
		 "lane: relay\n" REST POOL "}\n"},
		{"lane: ${SIDELANE_UNSET:-kernel}\n" REST POOL "}\n",
		 "lane: kernel\n" REST POOL "}\n"},
		{"lane: ${SIDELANE_EMPTY:-kernel}\n" REST POOL "}\n",
		 "lane: kernel\n" REST POOL "}\n"},
		{"listeners: 127.0.0.${SIDELANE_ONE}:${SIDELANE_ONE}\nroutes: {reject: close}\n",
		 "listeners: 127.0.0.1:1\nroutes: {reject: close}\n"},
		/* What is put in is not looked at again. */
		{"control: ${SIDELANE_NESTED}/$$${SIDELANE_ONE}$x\n" REST POOL "}\n",
		 "control: $${SIDELANE_ONE}/$$${SIDELANE_ONE}$x\n" REST POOL "}\n"},
	};

	setenv("SIDELANE_LANE", "relay", 1);
	setenv("SIDELANE_ONE", "1", 1);
	setenv("SIDELANE_EMPTY", "", 1);
	setenv("SIDELANE_NESTED", "${SIDELANE_ONE}", 1);
	unsetenv("SIDELANE_UNSET");
	for (size_t i = 0; i < COUNT(pairs); i++) {
		struct config *one = loaded(pairs[i][0]), *other = loaded(pairs[i][1]);
		json_t *first = config_to_json(one), *second = config_to_json(other);

		cr_expect(json_equal(first, second), "%s", pairs[i][0]);
		json_decref(first);
		json_decref(second);
		config_free(one);
		config_free(other);
	}
}

Test(config_load, the_environment_goes_into_texts)
{
	struct config *config;

	setenv("SIDELANE_ONE", "1", 1);
	config = loaded("control: /a/${SIDELANE_ONE}/$${SIDELANE_ONE}/$$$x\n"
			"listeners: 127.0.0.1:1\nroutes: {reject: close}\n");
	cr_expect_str_eq(config->control, "/a/1/${SIDELANE_ONE}/$$$x");
	config_free(config);
}

Test(config_load, keys_that_need_a_restart)
{
	struct config *one = loaded("lane: relay\nworkers: 2\nlisteners: 127.0.0.1:1\n"
				    "routes: {reject: close}\n");
	struct config *other = loaded("lane: auto\ncgroup: /x\ndrain_timeout: 1s\n"
				      "listeners: 127.0.0.1:2\nroutes: {reject: reset}\n");
	char text[128];

	cr_expect_eq(config_restart_keys(one, one, text, sizeof(text)), 0);
	cr_expect_str_empty(text);
	cr_expect_eq(config_restart_keys(one, other, text, sizeof(text)), 3);
	cr_expect_str_eq(text, "workers, lane, cgroup");
	config_free(one);
	config_free(other);
}

/* ---- With the options of `proxyd run` ----------------------------------------------------- */

static int from_options(int argc, char **argv, struct config **out, struct capture *log)
{
	struct settings settings;
	int err;

	settings_init(&settings);
	capture_start(log, stderr);
	err = settings_parse(&settings, argc, argv);
	if (!err)
		err = config_from_settings(&settings, out);
	capture_end(log, stderr);
	return err;
}

static void write_file(char path[], const char *text)
{
	int fd = mkstemp(path);

	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

Test(config_load, options_go_before_the_file)
{
	char path[] = "/tmp/sidelane-config-XXXXXX";
	char *argv[] = {"run",           "-c",       path,  "--lane",          "kernel",
			"--window=1MiB", "--cgroup", "/cg", "--drain-timeout", "3s"};
	struct config *config = NULL;
	struct capture log;

	write_file(path, "lane: relay\nworkers: 3\ncontrol: /c\ncgroup: /other\n"
			 "listeners: 127.0.0.1:1\nroutes: {match: {sni: a.org}, reject: close}\n");
	cr_assert_eq(from_options(COUNT(argv), argv, &config, &log), 0, "%s", log.text);
	unlink(path);
	cr_expect(strstr(log.text, ":6:9: routes: a connection"), "%s", log.text);
	cr_expect_str_eq(config->path, path);
	cr_expect_eq(config->lane, LANE_KERNEL);
	cr_expect_eq(config->window, 1 << 20);
	cr_expect_str_eq(config->cgroup, "/cg");
	cr_expect_eq(config->drain_timeout, 3000);
	cr_expect_eq(config->workers, 3);
	cr_expect_str_eq(config->control, "/c");
	config_free(config);
}

Test(config_load, a_bad_file_is_refused_with_all_its_errors)
{
	char path[] = "/tmp/sidelane-config-XXXXXX";
	char *argv[] = {"run", "--config", path};
	struct config *config = NULL;
	struct capture log;
	char line[128];

	write_file(path, "lane: fast\nlistener: x\n");
	cr_expect_eq(from_options(COUNT(argv), argv, &config, &log), -EINVAL);
	unlink(path);
	cr_expect_null(config);
	snprintf(line, sizeof(line), "proxyd: error: %s:1:7: lane: there is no 'fast'", path);
	cr_expect(strstr(log.text, line), "%s", log.text);
	snprintf(line, sizeof(line), "proxyd: error: %s:2:1: listener: there is no such key", path);
	cr_expect(strstr(log.text, line), "%s", log.text);
	cr_expect(strstr(log.text, "'routes' is missing"), "%s", log.text);
}

Test(config_load, options_that_the_file_has_are_refused)
{
	static const char *const options[][2] = {
		{"--listen", "127.0.0.1:1"},
		{"--upstream", "127.0.0.1:1"},
		{"--connect-timeout", "1s"},
		{"--idle-timeout", "1s"},
	};

	for (size_t i = 0; i < COUNT(options); i++) {
		char *argv[] = {"run", "-c", "/x", (char *)options[i][0], (char *)options[i][1]};
		struct config *config = NULL;
		struct capture log;

		cr_expect_eq(from_options(COUNT(argv), argv, &config, &log), -EINVAL);
		cr_expect(strstr(log.text, options[i][0]), "%s", log.text);
		cr_expect(strstr(log.text, "stands in the file of --config"), "%s", log.text);
	}
}
