// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "config/settings.h"
#include "unit/capture.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ARGUMENTS    12

/* As the command line has it: `proxyd run` with the arguments, up to NULL. */
static int parse(struct settings *settings, const char *const arguments[ARGUMENTS],
		 struct capture *errors)
{
	char *argv[ARGUMENTS + 2] = {"run"};
	int argc = 1, result;

	for (int i = 0; i < ARGUMENTS && arguments[i]; i++)
		argv[argc++] = (char *)arguments[i];
	settings_init(settings);
	capture_start(errors, stderr);
	result = settings_parse(settings, argc, argv);
	capture_end(errors, stderr);
	return result;
}

/* With --listen and --upstream, which every command line needs. */
static int parse_more(struct settings *settings, const char *name, const char *operand,
		      struct capture *errors)
{
	const char *const arguments[ARGUMENTS] = {
		"--listen", "127.0.0.1:9000", "--upstream", "127.0.0.1:8080", name, operand};

	return parse(settings, arguments, errors);
}

Test(settings, defaults)
{
	struct settings settings;
	struct capture errors;

	cr_assert_eq(parse_more(&settings, NULL, NULL, &errors), 0, "%s", errors.text);
	cr_assert_str_empty(errors.text);
	cr_expect_eq(settings.listen.count, 1);
	cr_expect_eq(ntohs(settings.listen.items[0].ipv4.sin_port), 9000);
	cr_expect_eq(settings.upstream.count, 1);
	cr_expect_eq(ntohs(settings.upstream.items[0].ipv4.sin_port), 8080);
	cr_expect_eq(settings.lane, LANE_AUTO);
	cr_expect_eq(settings.workers, 0);
	cr_expect_eq(settings.window, 4 << 20);
	cr_expect_str_eq(settings.control, SETTINGS_CONTROL_DEFAULT);
	cr_expect_null(settings.cgroup);
	cr_expect_eq(settings.connect_timeout, 10 * 1000);
	cr_expect_eq(settings.idle_timeout, 60 * 60 * 1000);
	cr_expect_eq(settings.drain_timeout, 30 * 1000);
	cr_expect_not(settings.stream_parser);
	cr_expect_not(settings.switch_lanes);
	cr_expect(settings.probe);
	cr_expect_not(settings.verbose);
}

Test(settings, each_option)
{
	struct settings settings;
	struct capture errors;

#define EXPECT(name, operand, condition)                                                           \
	do {                                                                                       \
		cr_expect_eq(parse_more(&settings, name, operand, &errors), 0, "%s %s: %s", name,  \
			     (operand) ? (operand) : "", errors.text);                             \
		cr_expect(condition, "after %s %s", name, (operand) ? (operand) : "");             \
	} while (0)
	const char *const none = NULL;

	EXPECT("--lane", "auto", settings.lane == LANE_AUTO);
	EXPECT("--lane", "kernel", settings.lane == LANE_KERNEL);
	EXPECT("--lane", "relay", settings.lane == LANE_RELAY);
	EXPECT("--workers", "1", settings.workers == 1);
	EXPECT("--workers", "64", settings.workers == 64);
	EXPECT("--window", "65536", settings.window == 65536);
	EXPECT("--window", "1GiB", settings.window == 1 << 30);
	EXPECT("--control", "/run/x", !strcmp(settings.control, "/run/x"));
	EXPECT("--cgroup", "/sys/fs/cgroup/a", !strcmp(settings.cgroup, "/sys/fs/cgroup/a"));
	EXPECT("--connect-timeout", "250ms", settings.connect_timeout == 250);
	EXPECT("--idle-timeout", "0", settings.idle_timeout == 0);
	EXPECT("--idle-timeout", "2h", settings.idle_timeout == 2 * 60 * 60 * 1000);
	EXPECT("--drain-timeout", "5m", settings.drain_timeout == 5 * 60 * 1000);
	EXPECT("--stream-parser", none, settings.stream_parser);
	EXPECT("--debug-switch-lanes", "0", settings.switch_lanes && settings.switch_seed == 0);
	EXPECT("--debug-switch-lanes", "18446744073709551615",
	       settings.switch_lanes && settings.switch_seed == UINT64_MAX);
	EXPECT("--verbose", none, settings.verbose);
	EXPECT("--window=1MiB", none, settings.window == 1 << 20);
	EXPECT("--upstream", "[::1]:7000",
	       settings.upstream.count == 2 &&
		       settings.upstream.items[1].any.sa_family == AF_INET6);
	EXPECT("--listen", "127.0.0.1:9001", settings.listen.count == 2);
	EXPECT("--listen", "0.0.0.0:9000", settings.listen.count == 2);
	EXPECT("--upstream", "127.0.0.1:8080", settings.upstream.count == 2);
	EXPECT("--listen", "[::1]:7000",
	       settings.listen.count == 2 && settings.listen.items[0].any.sa_family == AF_INET);
#undef EXPECT
}

/* The message names the option, what was given and what is wrong with it. */
Test(settings, says_what_is_wrong)
{
	static const struct {
		const char *name, *operand, *says;
	} cases[] = {
		{"--lane", "fast",
		 "--lane fast: there is no 'fast'; there is auto, kernel and relay"},
		{"--lane", "", "--lane : there is no ''; there is auto, kernel and relay"},
		{"--lane", "Kernel", "--lane Kernel: there is no 'Kernel'; did you mean 'kernel'?"},
		{"--workers", "0", "--workers 0: it must be 1 to 64"},
		{"--workers", "65", "--workers 65: it must be 1 to 64"},
		{"--workers", "-1", "--workers -1: it is no number"},
		{"--workers", "two", "--workers two: it is no number"},
		{"--workers", "2x", "--workers 2x: it is no number"},
		{"--workers", "18446744073709551617", "it is too large"},
		{"--window", "65535", "--window 65535: it must be 64KiB to 1GiB"},
		{"--window", "1073741825", "it must be 64KiB to 1GiB"},
		{"--window", "2GiB", "--window 2GiB: it must be 64KiB to 1GiB"},
		{"--window", "big", "--window big: it is no size, as in 4MiB or 65536"},
		{"--control", "", "--control : it is empty"},
		{"--cgroup", "", "--cgroup : it is empty"},
		{"--connect-timeout", "10", "--connect-timeout 10: it is no time, as in 500ms"},
		{"--idle-timeout", "never", "--idle-timeout never: it is no time"},
		{"--drain-timeout", "-5s", "--drain-timeout -5s: it is no time"},
		/* A deadline is the sum of a clock and a time: neither may overflow. */
		{"--idle-timeout", "18446744073709551615ms", "it must be at most 1000000h"},
		{"--idle-timeout", "1000001h", "it must be at most 1000000h"},
		{"--debug-switch-lanes", "x", "--debug-switch-lanes x: it is no number"},
		{"--listen", "9000", "--listen 9000: a port must follow, as in 127.0.0.1:9000"},
		{"--listen", "127.0.0.1:9000", "--listen 127.0.0.1:9000: it is given twice"},
		{"--listen", "[::ffff:127.0.0.1]:9000", "it is given twice"},
		{"--upstream", "localhost:80",
		 "--upstream localhost:80: the host is no IP address"},
		{"--upstream", "[::1]:0",
		 "--upstream [::1]:0: the port is not between 1 and 65535"},
		{"--stream-parser=yes", NULL, "--stream-parser"},
		{"--verbose=yes", NULL, "--verbose"},
		{"--workers", NULL, "--workers"},
		{"--no-such-option", NULL, "--no-such-option"},
		{"-x", NULL, "see proxyd run --help"},
		{"surplus", NULL, "surplus: not an option"},
		{"--", "surplus", "surplus: not an option"},
	};
	struct settings settings;
	struct capture errors;

	for (size_t i = 0; i < COUNT(cases); i++) {
		cr_expect_eq(parse_more(&settings, cases[i].name, cases[i].operand, &errors),
			     -EINVAL, "%s %s was accepted", cases[i].name,
			     cases[i].operand ? cases[i].operand : "");
		cr_expect(strstr(errors.text, cases[i].says), "%s %s: '%s' does not say '%s'",
			  cases[i].name, cases[i].operand ? cases[i].operand : "", errors.text,
			  cases[i].says);
	}
}

Test(settings, says_what_is_missing)
{
	static const struct {
		const char *const arguments[ARGUMENTS];
		const char *says;
		const char *does_not_say;
	} cases[] = {
		{{"--listen", "127.0.0.1:1"}, "--upstream is missing", "--listen is missing"},
		{{"--upstream", "127.0.0.1:1"}, "--listen is missing", "--upstream is missing"},
		{{NULL}, "--config is missing, or --listen", "not an option"},
		{{NULL}, "--upstream", "not an option"},
	};
	struct settings settings;
	struct capture errors;

	for (size_t i = 0; i < COUNT(cases); i++) {
		cr_expect_eq(parse(&settings, cases[i].arguments, &errors), -EINVAL);
		cr_expect(strstr(errors.text, cases[i].says), "%s", errors.text);
		cr_expect_null(strstr(errors.text, cases[i].does_not_say), "%s", errors.text);
	}
}

Test(settings, takes_64_addresses_and_no_more)
{
	char *argv[2 * (SETTINGS_ADDRESSES_MAX + 1) + 3] = {"run", "--listen", "127.0.0.1:1"};
	struct settings settings;
	struct capture errors;
	int argc = 3, result;

	for (int i = 0; i < SETTINGS_ADDRESSES_MAX; i++) {
		argv[argc++] = "--upstream";
		argv[argc++] = "127.0.0.1:2";
	}
	settings_init(&settings);
	cr_assert_eq(settings_parse(&settings, argc, argv), 0);
	cr_assert_eq(settings.upstream.count, 64);
	argv[1] = "--upstream";
	settings_init(&settings);
	capture_start(&errors, stderr);
	result = settings_parse(&settings, argc, argv);
	capture_end(&errors, stderr);
	cr_assert_eq(result, -EINVAL);
	cr_assert(strstr(errors.text, "there are too many (64 at most)"), "%s", errors.text);
}

Test(settings, become_a_config)
{
	static const char *const arguments[ARGUMENTS] = {
		"--listen",     "127.0.0.1:9000",       "--listen",     "[::1]:9000",
		"--upstream",   "10.0.0.1:80",          "--upstream",   "[::2]:81",
		"--cgroup=/cg", "--connect-timeout=3s", "--window=1MiB"};
	struct settings settings;
	struct capture errors;
	struct config *config;

	cr_assert_eq(parse(&settings, arguments, &errors), 0, "%s", errors.text);
	cr_assert_eq(config_from_settings(&settings, &config), 0);
	cr_expect_null(config->path);
	cr_expect_eq(config->window, 1 << 20);
	cr_expect_str_eq(config->cgroup, "/cg");
	cr_expect_str_eq(config->control, SETTINGS_CONTROL_DEFAULT);
	cr_assert_eq(config->listener_count, 2);
	cr_expect_str_eq(config->listeners[0].name, "listener-1");
	cr_expect_str_eq(config->listeners[1].name, "listener-2");
	cr_expect_eq(config->listeners[1].address.any.sa_family, AF_INET6);
	cr_expect(config->listeners[1].tcp.nodelay);
	cr_assert_eq(config->upstream_count, 1);
	cr_expect_str_eq(config->upstreams->name, "upstream");
	cr_expect_eq(config->upstreams->balance, BALANCE_ROUND_ROBIN);
	cr_expect_eq(config->upstreams->retries, 1);
	cr_expect_eq(config->upstreams->connect_timeout, 3000);
	cr_assert_eq(config->upstreams->endpoint_count, 2);
	cr_expect_str_eq(config->upstreams->endpoints[1].text, "[::2]:81");
	cr_expect_eq(config->upstreams->endpoints[1].weight, 1);
	cr_assert_eq(config->route_count, 1);
	cr_expect_eq(config->routes->action, ROUTE_UPSTREAM);
	cr_expect_eq(config->routes->upstream, 0);
	cr_expect_eq(config->routes->mirror, CONFIG_NONE);
	config_free(config);
}

Test(settings, help_names_every_option)
{
	static const char *const names[] = {"--listen ADDR:PORT",  "--upstream ADDR:PORT",
					    "--lane LANE",         "--workers N",
					    "--window BYTES",      "--control PATH",
					    "--cgroup PATH",       "--connect-timeout TIME",
					    "--idle-timeout TIME", "--drain-timeout TIME",
					    "--stream-parser",     "--debug-switch-lanes SEED",
					    "--verbose",           "--help",
					    "Exit status"};
	char *argv[] = {"run", "--help", NULL};
	struct settings settings;
	struct capture output;
	int result;

	settings_init(&settings);
	capture_start(&output, stdout);
	result = settings_parse(&settings, 2, argv);
	capture_end(&output, stdout);
	cr_assert_eq(result, 1);
	for (size_t i = 0; i < COUNT(names); i++)
		cr_expect(strstr(output.text, names[i]), "%s is not in the help", names[i]);
}

Test(settings, names_the_lanes)
{
	cr_expect_str_eq(lane_choice_name(LANE_AUTO), "auto");
	cr_expect_str_eq(lane_choice_name(LANE_KERNEL), "kernel");
	cr_expect_str_eq(lane_choice_name(LANE_RELAY), "relay");
}
