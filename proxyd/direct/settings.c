// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "direct/settings.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/units.h"
#include "config/usage.h"
#include "log.h"
#include "policy/cidr.h"

/*
 * Programs that were read or traced for how they read their sockets, and that the tests accelerate.
 * By the name of the file that runs: Debian's redis-server is a link to redis-check-rdb.
 */
static const struct direct_program known_programs[] = {
	{.name = "curl"},
	{.name = "memcached"},
	{.name = "nginx", .asks_fionread = true},
	{.name = "node"},
	{.name = "pgbench"},
	{.name = "postgres"},
	{.name = "psql"},
	{.name = "redis-benchmark"},
	{.name = "redis-check-rdb"},
	{.name = "redis-server"},
	{.name = "wrk", .asks_fionread = true},
};

enum {
	OPT_CGROUP = 256,
	OPT_PIN,
	OPT_PORT,
	OPT_EXCLUDE_PORT,
	OPT_CIDR,
	OPT_EXCLUDE_CIDR,
	OPT_UID,
	OPT_EXCLUDE_UID,
	OPT_PROGRAM,
	OPT_ANY_PROGRAM,
	OPT_EXISTING,
	OPT_INTERVAL,
	OPT_DRAIN_TIMEOUT,
	OPT_DRY_RUN,
	OPT_DURATION,
	OPT_CLEAR,
	OPT_STATUS,
	OPT_CONNECTIONS,
	OPT_JSON,
	OPT_VERBOSE,
	OPT_DEBUG_EAGER,
};

static const struct option longs[] = {
	{"cgroup", required_argument, NULL, OPT_CGROUP},
	{"pin", required_argument, NULL, OPT_PIN},
	{"port", required_argument, NULL, OPT_PORT},
	{"exclude-port", required_argument, NULL, OPT_EXCLUDE_PORT},
	{"cidr", required_argument, NULL, OPT_CIDR},
	{"exclude-cidr", required_argument, NULL, OPT_EXCLUDE_CIDR},
	{"uid", required_argument, NULL, OPT_UID},
	{"exclude-uid", required_argument, NULL, OPT_EXCLUDE_UID},
	{"program", required_argument, NULL, OPT_PROGRAM},
	{"any-program", no_argument, NULL, OPT_ANY_PROGRAM},
	{"existing", no_argument, NULL, OPT_EXISTING},
	{"interval", required_argument, NULL, OPT_INTERVAL},
	{"drain-timeout", required_argument, NULL, OPT_DRAIN_TIMEOUT},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN},
	{"duration", required_argument, NULL, OPT_DURATION},
	{"clear", no_argument, NULL, OPT_CLEAR},
	{"status", no_argument, NULL, OPT_STATUS},
	{"connections", no_argument, NULL, OPT_CONNECTIONS},
	{"json", no_argument, NULL, OPT_JSON},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{"debug-eager", no_argument, NULL, OPT_DEBUG_EAGER},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static void print_help(void)
{
	printf("usage: proxyd accelerate --cgroup PATH [OPTION...]\n"
	       "       proxyd accelerate --cgroup PATH --dry-run|--status|--clear [OPTION...]\n\n"
	       "Move the payload of local TCP connections between processes of a cgroup straight "
	       "from\nsocket to socket, past TCP, where both ends qualify.\n\n"
	       "  --cgroup PATH         directory of a cgroup v2; with all that is below it\n"
	       "  --existing            connections that are there already, too\n"
	       "  --program NAME        a program, by file name, that reads its sockets with recv "
	       "or "
	       "read\n"
	       "                        alone; repeatable. Known:");
	for (size_t i = 0; i < sizeof(known_programs) / sizeof(known_programs[0]); i++)
		printf(" %s", known_programs[i].name);
	printf("\n"
	       "  --any-program         whatever program it is: programs that use splice(2) hang\n"
	       "  --port N              one port of the connection; repeatable, as the following\n"
	       "  --cidr RANGE          one address of the connection\n"
	       "  --uid N               the socket's owner\n"
	       "  --exclude-port N, --exclude-cidr RANGE, --exclude-uid N\n"
	       "                        leave these out; comes before the others\n"
	       "  --interval TIME       between two looks at all sockets (100ms)\n"
	       "  --drain-timeout TIME  at the end: for sockets to leave the lane (30s)\n"
	       "  --pin DIR             BPF file system, for what must outlive proxyd (%s)\n"
	       "  --dry-run             watch, for --duration TIME (5s), and say what would be "
	       "done\n"
	       "  --status              say what is done, and by reason what is not\n"
	       "  --clear               end what a proxyd that was killed has left\n"
	       "  --connections         with --dry-run and --status: each socket\n"
	       "  --json, --verbose\n",
	       DIRECT_PIN_DEFAULT);
}

static int refuse(const char *option, const char *text, const char *why)
{
	log_error("--%s %s: %s", option, text, why);
	return -EINVAL;
}

static int parse_number(const char *option, const char *text, unsigned long max,
			unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || *number > max)
		return refuse(option, text,
			      max == UINT16_MAX ? "the port is not between 1 and 65535"
						: "it is no user's number");
	return 0;
}

static int add_port(const char *option, const char *text, __u16 *ports, __u32 *count)
{
	unsigned long port;
	int err = parse_number(option, text, UINT16_MAX, &port);

	if (err)
		return err;
	if (!port)
		return refuse(option, text, "the port is not between 1 and 65535");
	if (*count == SL_FILTER_MAX)
		return refuse(option, text, "at most 16 of them; take a --cidr or a --uid");
	ports[(*count)++] = (__u16)port;
	return 0;
}

static int add_uid(const char *option, const char *text, __u32 *uids, __u32 *count)
{
	unsigned long uid;
	int err = parse_number(option, text, UINT32_MAX - 1, &uid);

	if (err)
		return err;
	if (*count == SL_FILTER_MAX)
		return refuse(option, text, "at most 16 of them; take a --port or a --cidr");
	uids[(*count)++] = (__u32)uid;
	return 0;
}

static int add_range(const char *option, const char *text, struct sl_address_range *ranges,
		     __u32 *count)
{
	const char *why;
	struct cidr cidr;

	if (cidr_parse(text, &cidr, &why))
		return refuse(option, text, why);
	if (*count == SL_FILTER_MAX)
		return refuse(option, text, "at most 16 of them; take wider ones");
	memcpy(ranges[*count].address, cidr.bytes, sizeof(cidr.bytes));
	for (unsigned int bit = 0; bit < cidr.prefix; bit++)
		((uint8_t *)ranges[*count].mask)[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	++*count;
	return 0;
}

static int add_program(struct direct_settings *settings, const char *name)
{
	size_t length = strlen(name);

	if (!length || strchr(name, '/'))
		return refuse("program", name, "want the name of the file, without its folder");
	if (settings->program_count == DIRECT_PROGRAMS_MAX)
		return refuse("program", name, "too many of them; --any-program takes all");
	/* As the program that compares them cuts them. */
	if (length >= SL_PROGRAM_NAME)
		length = SL_PROGRAM_NAME - 1;
	memcpy(settings->programs[settings->program_count++].name, name, length);
	return 0;
}

static int parse_time(const char *option, const char *text, uint64_t *milliseconds)
{
	const char *why;

	return units_parse_duration(text, milliseconds, &why) ? refuse(option, text, why) : 0;
}

static int take_filter(struct direct_settings *settings, int choice, const char *text)
{
	struct sl_direct_filter *filter = &settings->filter;

	switch (choice) {
	case OPT_PORT:
		return add_port("port", text, filter->take_port, &filter->take_ports);
	case OPT_EXCLUDE_PORT:
		return add_port("exclude-port", text, filter->leave_port, &filter->leave_ports);
	case OPT_CIDR:
		return add_range("cidr", text, filter->take, &filter->takes);
	case OPT_EXCLUDE_CIDR:
		return add_range("exclude-cidr", text, filter->leave, &filter->leaves);
	case OPT_UID:
		return add_uid("uid", text, filter->take_uid, &filter->take_uids);
	default:
		return add_uid("exclude-uid", text, filter->leave_uid, &filter->leave_uids);
	}
}

static int take_mode(struct direct_settings *settings, enum direct_mode mode)
{
	if (settings->mode != DIRECT_RUN && settings->mode != mode) {
		log_error("--dry-run, --status and --clear: only one of them at a time");
		return -EINVAL;
	}
	settings->mode = mode;
	return 0;
}

static int take_option(struct direct_settings *settings, int choice, const char *text)
{
	switch (choice) {
	case OPT_CGROUP:
		settings->cgroup = text;
		return 0;
	case OPT_PIN:
		settings->pin = text;
		return 0;
	case OPT_PROGRAM:
		return add_program(settings, text);
	case OPT_ANY_PROGRAM:
		settings->any_program = true;
		return 0;
	case OPT_EXISTING:
		settings->existing = true;
		return 0;
	case OPT_INTERVAL:
		return parse_time("interval", text, &settings->interval_ms);
	case OPT_DRAIN_TIMEOUT:
		return parse_time("drain-timeout", text, &settings->drain_timeout_ms);
	case OPT_DURATION:
		return parse_time("duration", text, &settings->duration_ms);
	case OPT_DRY_RUN:
		return take_mode(settings, DIRECT_DRY_RUN);
	case OPT_CLEAR:
		return take_mode(settings, DIRECT_CLEAR);
	case OPT_STATUS:
		return take_mode(settings, DIRECT_STATUS);
	case OPT_CONNECTIONS:
		settings->connections = true;
		return 0;
	case OPT_JSON:
		settings->json = true;
		return 0;
	case OPT_VERBOSE:
		settings->verbose = true;
		return 0;
	case OPT_DEBUG_EAGER:
		settings->eager = true;
		return 0;
	default:
		return take_filter(settings, choice, text);
	}
}

static int check(const struct direct_settings *settings)
{
	if (!settings->cgroup) {
		log_error(
			"--cgroup is missing: the directory of a cgroup v2; see proxyd accelerate "
			"--help");
		return -EINVAL;
	}
	if (!settings->interval_ms) {
		log_error("--interval 0: proxyd would do nothing else; take 10ms or more");
		return -EINVAL;
	}
	return 0;
}

int direct_settings_parse(struct direct_settings *settings, int argc, char **argv)
{
	int choice, err = 0;

	*settings = (struct direct_settings){
		.pin = DIRECT_PIN_DEFAULT,
		.interval_ms = 100,
		.drain_timeout_ms = 30 * 1000,
		.duration_ms = 5 * 1000,
	};
	for (size_t i = 0; i < sizeof(known_programs) / sizeof(known_programs[0]); i++)
		settings->programs[settings->program_count++] = known_programs[i];
	opterr = 0;
	while (!err && (choice = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (choice == 'h') {
			print_help();
			return 1;
		}
		if (choice == ':' || choice == '?') {
			usage_error(argv, choice, "accelerate");
			return -EINVAL;
		}
		err = take_option(settings, choice, optarg);
	}
	if (err)
		return err;
	if (optind < argc) {
		usage_surplus(argv[optind], "accelerate");
		return -EINVAL;
	}
	return check(settings);
}
