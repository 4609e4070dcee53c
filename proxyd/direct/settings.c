// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "direct/settings.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "config/load.h"
#include "config/usage.h"
#include "config/value.h"
#include "log.h"

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
	OPT_DRY_RUN = 256,
	OPT_DURATION,
	OPT_CLEAR,
	OPT_STATUS,
	OPT_CONNECTIONS,
	OPT_CONTROL,
	OPT_JSON,
	OPT_VERBOSE,
	OPT_DEBUG_EAGER,
	OPT_KEY, /* of the configuration's table */
};

static const struct option longs[] = {
	{"config", required_argument, NULL, 'c'},
	{"help", no_argument, NULL, 'h'},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN},
	{"duration", required_argument, NULL, OPT_DURATION},
	{"clear", no_argument, NULL, OPT_CLEAR},
	{"status", no_argument, NULL, OPT_STATUS},
	{"connections", no_argument, NULL, OPT_CONNECTIONS},
	{"control", required_argument, NULL, OPT_CONTROL},
	{"json", no_argument, NULL, OPT_JSON},
	{"verbose", no_argument, NULL, OPT_VERBOSE},
	{"debug-eager", no_argument, NULL, OPT_DEBUG_EAGER},
	{"cgroup", required_argument, NULL, OPT_KEY},
	{"exclude-cgroup", required_argument, NULL, OPT_KEY},
	{"cidr", required_argument, NULL, OPT_KEY},
	{"exclude-cidr", required_argument, NULL, OPT_KEY},
	{"port", required_argument, NULL, OPT_KEY},
	{"exclude-port", required_argument, NULL, OPT_KEY},
	{"uid", required_argument, NULL, OPT_KEY},
	{"exclude-uid", required_argument, NULL, OPT_KEY},
	{"program", required_argument, NULL, OPT_KEY},
	{"any-program", no_argument, NULL, OPT_KEY},
	{"translated", no_argument, NULL, OPT_KEY},
	{"existing", no_argument, NULL, OPT_KEY},
	{"interval", required_argument, NULL, OPT_KEY},
	{"drain-timeout", required_argument, NULL, OPT_KEY},
	{"pin", required_argument, NULL, OPT_KEY},
	{0},
};

/* The keys of `acceleration` that options stand for. */
static const struct {
	const char *option, *key;
} keys[] = {
	{"cgroup", "cgroup"},
	{"exclude-cgroup", "exclude_cgroups"},
	{"cidr", "addresses"},
	{"exclude-cidr", "exclude_addresses"},
	{"port", "ports"},
	{"exclude-port", "exclude_ports"},
	{"uid", "uids"},
	{"exclude-uid", "exclude_uids"},
	{"program", "programs"},
	{"any-program", "any_program"},
	{"translated", "translated"},
	{"existing", "existing"},
	{"interval", "interval"},
	{"drain-timeout", "drain_timeout"},
	{"pin", "pin"},
};

static void print_help(void)
{
	printf("usage: proxyd accelerate --cgroup PATH | -c FILE [OPTION...]\n"
	       "       proxyd accelerate --cgroup PATH | -c FILE --dry-run|--status|--clear "
	       "[OPTION...]\n"
	       "       proxyd accelerate --clear [--pin DIR]\n"
	       "       proxyd accelerate --control PATH --status [OPTION...]\n\n"
	       "Move the payload of local TCP connections between processes of a cgroup straight "
	       "from\nsocket to socket, past TCP, where both ends qualify.\n\n"
	       "  --cgroup PATH         directory of a cgroup v2; with all that is below it\n"
	       "  -c, --config FILE     as its `acceleration` says; options come on top\n"
	       "  --existing            connections that are there already, too\n"
	       "  --program NAME        a program, by file name, that reads its sockets with recv "
	       "or "
	       "read\n"
	       "                        alone; repeatable. Known:");
	for (size_t i = 0; i < sizeof(known_programs) / sizeof(known_programs[0]); i++)
		printf("%s%s", i % 6 ? " " : "\n                          ",
		       known_programs[i].name);
	printf("\n"
	       "  --any-program         whatever program it is: programs that use splice(2) hang\n"
	       "  --translated          connections with translated addresses (NAT), too\n"
	       "  --port N[-M]          one port of the connection; repeatable, as the following\n"
	       "  --cidr RANGE          one address of the connection\n"
	       "  --uid N[-M]           the socket's owner\n"
	       "  --exclude-port N[-M], --exclude-cidr RANGE, --exclude-uid N[-M], "
	       "--exclude-cgroup PATH\n"
	       "                        leave these out; comes before the others\n"
	       "  --interval TIME       between two looks at all sockets (100ms)\n"
	       "  --drain-timeout TIME  at the end: for sockets to leave the lane (30s)\n"
	       "  --pin DIR             BPF file system, for what must outlive proxyd "
	       "(/sys/fs/bpf)\n"
	       "  --dry-run             watch, for --duration TIME (5s), and say what would be "
	       "done\n"
	       "  --status              say what is done, and by reason what is not\n"
	       "  --clear               end what a proxyd that was killed has left; without "
	       "--cgroup:\n"
	       "                        what any has left, of `run --direct-lane`, too\n"
	       "  --control PATH        with --status: the ends of flows of the proxyd run "
	       "--direct-lane that\n"
	       "                        has this control socket\n"
	       "  --connections         with --dry-run and --status: each socket\n"
	       "  --json, --verbose\n");
}

/* --- What the programs go by --------------------------------------------------------------- */

static __u32 take_addresses(const struct cidr_list *list, struct sl_address_range *ranges)
{
	for (unsigned int i = 0; i < list->count; i++) {
		memcpy(ranges[i].address, list->items[i].bytes, sizeof(ranges[i].address));
		for (unsigned int bit = 0; bit < list->items[i].prefix; bit++)
			((uint8_t *)ranges[i].mask)[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	}
	return list->count;
}

static __u32 take_numbers(const struct port_list *list, struct sl_number_range *ranges)
{
	for (unsigned int i = 0; i < list->count; i++)
		ranges[i] = (struct sl_number_range){list->items[i].first, list->items[i].last};
	return list->count;
}

static void add_programs(struct direct_settings *settings)
{
	const struct string_list *names = &settings->wanted.programs;

	memcpy(settings->programs, known_programs, sizeof(known_programs));
	settings->program_count = sizeof(known_programs) / sizeof(known_programs[0]);
	for (unsigned int i = 0; i < names->count; i++)
		strncpy(settings->programs[settings->program_count++].name, names->items[i],
			SL_PROGRAM_NAME - 1);
}

static void set_default(uint64_t *milliseconds, uint64_t value)
{
	if (!*milliseconds)
		*milliseconds = value;
}

static int complete(struct direct_settings *settings)
{
	struct config_acceleration *wanted = &settings->wanted;
	struct sl_direct_filter *filter = &settings->filter;
	const char *key = config_acceleration_excess(wanted);

	if (!wanted->cgroup && !settings->through && settings->mode != DIRECT_CLEAR) {
		log_error("--cgroup is missing: the directory of a cgroup v2; see proxyd "
			  "accelerate --help");
		return -EINVAL;
	}
	if (settings->through && wanted->cgroup) {
		log_error("--control goes without --cgroup and -c: it names a running proxyd");
		return -EINVAL;
	}
	if (key) {
		log_error("acceleration.%s: more than %d of them; take wider ones", key,
			  SL_FILTER_MAX);
		return -EINVAL;
	}
	set_default(&wanted->interval, 100);
	set_default(&wanted->drain_timeout, UINT64_C(30) * 1000);
	set_default(&settings->duration_ms, UINT64_C(5) * 1000);
	filter->takes = take_addresses(&wanted->addresses, filter->take);
	filter->leaves = take_addresses(&wanted->exclude_addresses, filter->leave);
	filter->take_ports = take_numbers(&wanted->ports, filter->take_port);
	filter->leave_ports = take_numbers(&wanted->exclude_ports, filter->leave_port);
	filter->take_uids = take_numbers(&wanted->users, filter->take_uid);
	filter->leave_uids = take_numbers(&wanted->exclude_users, filter->leave_uid);
	add_programs(settings);
	return 0;
}

int direct_settings_from_config(struct direct_settings *settings,
				const struct config_acceleration *acceleration)
{
	*settings = (struct direct_settings){.wanted = *acceleration};
	return complete(settings);
}

/* Of a proxyd, told by the path of its control socket. */
static uint64_t number_of(const char *control)
{
	return XXH64(control, strlen(control), 0) | 1;
}

int direct_settings_for_flows(struct direct_settings *settings, const struct config *config,
			      const char *control)
{
	*settings = (struct direct_settings){
		.through = number_of(control),
		.wanted = {.programs = config->direct_programs, .pin = config->pin, .existing = 1},
	};
	return complete(settings);
}

void direct_settings_clear(struct direct_settings *settings)
{
	schema_clear(&schema_acceleration, &settings->wanted);
}

/* --- Options --------------------------------------------------------------------------------- */

static const struct schema_key *key_of(const char *option)
{
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(keys[i].option, option))
			return schema_find(&schema_acceleration, keys[i].key);
	return NULL;
}

/* It takes the place of what a config says, but adds to a list. */
static int take_key(struct direct_settings *settings, const char *option, const char *text)
{
	const struct schema_key *key = key_of(option);
	char *field = (char *)&settings->wanted + key->offset;
	char why[VALUE_WHY];
	const struct value_scope scope = {.key = key, .why = why};
	int err;

	if (!key->type->list && key->type->clear)
		key->type->clear(field);
	err = key->type->read(&scope, text ? text : "true", field);
	if (err)
		log_error("--%s %s: %s", option, text ? text : "",
			  err == -EINVAL ? why : strerror(-err));
	return err;
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

static int take_duration(struct direct_settings *settings, const char *text)
{
	const char *why = "it is 0; take 1ms or more";

	if (!units_parse_duration(text, &settings->duration_ms, &why) && settings->duration_ms)
		return 0;
	log_error("--duration %s: %s", text, why);
	return -EINVAL;
}

static int take_option(struct direct_settings *settings, int choice, const char *option,
		       const char *text)
{
	switch (choice) {
	case 'c': /* taken already */
		return 0;
	case OPT_DRY_RUN:
		return take_mode(settings, DIRECT_DRY_RUN);
	case OPT_CLEAR:
		return take_mode(settings, DIRECT_CLEAR);
	case OPT_STATUS:
		return take_mode(settings, DIRECT_STATUS);
	case OPT_DURATION:
		return take_duration(settings, text);
	case OPT_CONNECTIONS:
		settings->connections = true;
		return 0;
	case OPT_CONTROL:
		settings->through = number_of(text);
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
		return take_key(settings, option, text);
	}
}

static int load(struct direct_settings *settings, const char *path)
{
	struct config_report report = {0};
	struct config *config = NULL;
	int err = config_load(path, &config, &report);

	report_log(&report);
	report_clear(&report);
	if (err)
		return err;
	if (config->acceleration.cgroup) {
		settings->wanted = config->acceleration;
		config->acceleration = (struct config_acceleration){0};
	} else {
		log_error("%s: it has no `acceleration`", path);
		err = -EINVAL;
	}
	config_free(config);
	return err;
}

/* Before the other options, wherever it stands. Returns as direct_settings_parse(). */
static int find_config(struct direct_settings *settings, int argc, char **argv)
{
	int choice, err = 0;

	opterr = 0;
	optind = 0; /* glibc: begin anew */
	while (!err && (choice = getopt_long(argc, argv, ":hc:", longs, NULL)) != -1) {
		if (choice == 'h') {
			print_help();
			return 1;
		}
		if (choice == ':' || choice == '?') {
			usage_error(argv, choice, "accelerate");
			return -EINVAL;
		}
		if (choice == 'c') {
			direct_settings_clear(settings);
			err = load(settings, optarg);
		}
	}
	if (!err && optind < argc) {
		usage_surplus(argv[optind], "accelerate");
		return -EINVAL;
	}
	return err;
}

int direct_settings_parse(struct direct_settings *settings, int argc, char **argv)
{
	int choice, index = 0, err;

	*settings = (struct direct_settings){0};
	err = find_config(settings, argc, argv);
	optind = 0;
	while (!err && (choice = getopt_long(argc, argv, ":hc:", longs, &index)) != -1)
		err = take_option(settings, choice, longs[index].name, optarg);
	if (!err && settings->through && settings->mode != DIRECT_STATUS) {
		log_error("--control goes with --status only");
		err = -EINVAL;
	}
	return err ? err : complete(settings);
}
