// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/settings.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/usage.h"
#include "config/value.h"
#include "log.h"

struct option_row;

typedef int parse_fn(const struct option_row *row, struct settings *settings, const char *text,
		     char why[VALUE_WHY]);

/* One row an option: parser and help in one place. */
struct option_row {
	const char *name;
	const char *operand; /* NULL: a switch */
	const char *help;
	parse_fn *parse;
	size_t offset;
	/* The key of the configuration file that it stands for, with its type and bounds. */
	const struct schema_object *object;
	const char *key;
};

const char *lane_choice_name(enum lane_choice lane)
{
	return value_choice_name(schema_find(&schema_config, "lane")->choices, (int)lane);
}

static const struct schema_key *row_key(const struct option_row *row)
{
	return row->object ? schema_find(row->object, row->key) : NULL;
}

static int fail(char why[VALUE_WHY], const char *reason)
{
	snprintf(why, VALUE_WHY, "%s", reason);
	return -EINVAL;
}

/* As the file's key; what it owns stays with the command line. */
static int parse_key(const struct option_row *row, struct settings *settings, const char *text,
		     char why[VALUE_WHY])
{
	const struct schema_key *key = row_key(row);
	const struct value_scope scope = {.key = key, .why = why};
	void *field = (char *)settings + row->offset;
	void *copy = NULL;
	int err = key->type->read(&scope, text, key->type->clear ? &copy : field);

	if (!err && key->type->clear) {
		key->type->clear(&copy);
		*(const char **)field = text;
	}
	return err;
}

static int parse_address(const struct option_row *row, struct settings *settings, const char *text,
			 char why[VALUE_WHY])
{
	struct address_list *list = (void *)((char *)settings + row->offset);
	const char *reason;
	int err;

	if (list->count == SETTINGS_ADDRESSES_MAX)
		return fail(why, "there are too many (64 at most)");
	err = address_parse(text, &list->items[list->count], &reason);
	if (err)
		return fail(why, reason);
	list->count++;
	return 0;
}

/* SO_REUSEPORT, with which the workers share an address, would let it pass without a word. */
static int parse_listen(const struct option_row *row, struct settings *settings, const char *text,
			char why[VALUE_WHY])
{
	struct address_list *list = &settings->listen;
	int err = parse_address(row, settings, text, why);

	for (unsigned int i = 0; !err && i + 1 < list->count; i++)
		if (address_equal(&list->items[i], &list->items[list->count - 1]))
			err = fail(why, "it is given twice");
	return err;
}

static int parse_path(const struct option_row *row, struct settings *settings, const char *text,
		      char why[VALUE_WHY])
{
	if (!*text)
		return fail(why, "it is empty");
	*(const char **)((char *)settings + row->offset) = text;
	return 0;
}

static int parse_seed(const struct option_row *row, struct settings *settings, const char *text,
		      char why[VALUE_WHY])
{
	const char *reason;

	(void)row;
	settings->switch_lanes = true;
	if (units_parse_count(text, &settings->switch_seed, &reason))
		return fail(why, reason);
	return 0;
}

static int set_true(const struct option_row *row, struct settings *settings, const char *text,
		    char why[VALUE_WHY])
{
	(void)text;
	(void)why;
	*(bool *)((char *)settings + row->offset) = true;
	return 0;
}

#define FIELD(name)   offsetof(struct settings, name)
#define OF_FILE(name) parse_key, FIELD(name), &schema_config, #name

static const struct option_row rows[] = {
	{"config", "FILE",
	 "the configuration; also -c FILE. Of the options below, those that are\n"
	 "                       given go before what it says",
	 parse_path, FIELD(config_path), NULL, NULL},
	{"listen", "ADDR:PORT", "accept connections here (repeatable; [::1]:9000 for IPv6)",
	 parse_listen, FIELD(listen), NULL, "listeners"},
	{"upstream", "ADDR:PORT",
	 "connect them to here (repeatable: taken in turn, the next one when\n"
	 "                       a connect fails)",
	 parse_address, FIELD(upstream), NULL, "upstreams"},
	{"connect-timeout", "TIME", "give an endpoint up after this long (default 10s)", parse_key,
	 FIELD(connect_timeout), &schema_timeouts, "connect"},
	{"idle-timeout", "TIME",
	 "close a flow that moved no byte for this long (default 1h; 0: never)", parse_key,
	 FIELD(idle_timeout), &schema_timeouts, "idle"},
	{"lane", "LANE",
	 "auto: whichever is cheaper for what the flow does (default);\n"
	 "                       kernel: spliced in the kernel from the first byte;\n"
	 "                       relay: through user space",
	 OF_FILE(lane)},
	{"workers", "N", "threads (default: one a core)", OF_FILE(workers)},
	{"window", "BYTES", "kernel memory that a direction may hold (default 4MiB)",
	 OF_FILE(window)},
	{"control", "PATH", "control socket (default " SETTINGS_CONTROL_DEFAULT ")",
	 OF_FILE(control)},
	{"cgroup", "PATH",
	 "cgroup v2 directory that holds proxyd, to attach sock_ops to (default:\n"
	 "                       found by itself; used by --lane kernel only)",
	 OF_FILE(cgroup)},
	{"direct-lane", NULL,
	 "pair a flow's client and server past proxyd where both run on this\n"
	 "                       host and qualify",
	 set_true, FIELD(direct_lane), &schema_config, "direct_lane"},
	{"pin", "PATH", "BPF file system for --direct-lane (default /sys/fs/bpf)", OF_FILE(pin)},
	{"drain-timeout", "TIME", "on SIGTERM, let live flows finish for this long (default 30s)",
	 OF_FILE(drain_timeout)},
	{"stream-parser", NULL,
	 "attach the verdict program behind a stream parser (kernels before 6.2)", set_true,
	 FIELD(stream_parser), NULL, NULL},
	{"debug-switch-lanes", "SEED", "move flows between lanes at random (for tests)", parse_seed,
	 0, NULL, NULL},
	{"debug-direct-eager", NULL,
	 "with --direct-lane: whatever is eligible, at once, of any program (for\n"
	 "                       tests)",
	 set_true, FIELD(direct_eager), NULL, NULL},
	{"verbose", NULL, "say more", set_true, FIELD(verbose), NULL, NULL},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

void settings_init(struct settings *settings)
{
	*settings = (struct settings){.probe = true, .ready = -1};
	for (size_t i = 0; i < ROWS; i++) {
		const struct schema_key *key = row_key(&rows[i]);
		char why[VALUE_WHY];

		if (key && key->fallback)
			parse_key(&rows[i], settings, key->fallback, why);
	}
}

static void print_help(void)
{
	printf("usage: proxyd run --listen ADDR:PORT --upstream ADDR:PORT [OPTION...]\n"
	       "       proxyd run -c FILE [OPTION...]\n\n"
	       "Accept TCP connections and connect each to an upstream endpoint. In the "
	       "foreground;\n"
	       "SIGTERM or SIGINT stops it when live flows have finished, a second one at "
	       "once.\n\n");
	for (size_t i = 0; i < ROWS; i++) {
		char head[64];

		snprintf(head, sizeof(head), "--%s%s%s", rows[i].name, rows[i].operand ? " " : "",
			 rows[i].operand ? rows[i].operand : "");
		printf("  %-20s %s\n", head, rows[i].help);
	}
	printf("  %-20s %s\n\n", "--help", "print this");
	printf("Exit status: 0 stopped as asked, 1 failed, 2 usage, 3 an address cannot be "
	       "listened on,\n"
	       "4 a missing capability, 5 the control socket, 6 the cgroup. See proxyd(8).\n");
}

/* What each upstream of the file has for itself. */
static int check_beside_file(const struct settings *settings)
{
	for (size_t i = 0; i < ROWS; i++) {
		if (!rows[i].key || rows[i].object == &schema_config || !(settings->given >> i & 1))
			continue;
		log_error("--%s: it stands in the file of --config; leave one of the two out",
			  rows[i].name);
		return -EINVAL;
	}
	return 0;
}

static int check(const struct settings *settings, const char *command)
{
	const bool listens = settings->listen.count, connects = settings->upstream.count;

	if (settings->config_path)
		return check_beside_file(settings);
	if (listens && connects)
		return 0;
	log_error("%s; see proxyd %s --help",
		  listens    ? "--upstream is missing (where to connect to)"
		  : connects ? "--listen is missing (where to accept connections)"
			     : "--config is missing, or --listen (where to accept connections) and "
			       "--upstream (where to connect to)",
		  command);
	return -EINVAL;
}

static int parse_option(struct settings *settings, size_t index, const char *text)
{
	char why[VALUE_WHY];
	int err = rows[index].parse(&rows[index], settings, text, why);

	if (err == -EINVAL)
		log_error("--%s %s: %s", rows[index].name, text, why);
	else if (err)
		log_error("out of memory");
	settings->given |= 1U << index;
	return err;
}

int settings_parse(struct settings *settings, int argc, char **argv)
{
	struct option longs[ROWS + 2] = {0};
	int index, choice;

	for (size_t i = 0; i < ROWS; i++)
		longs[i] = (struct option){
			rows[i].name, rows[i].operand ? required_argument : no_argument, NULL, 1};
	longs[ROWS] = (struct option){"help", no_argument, NULL, 'h'};
	optind = 1;
	opterr = 0; /* one line for each error, in proxyd's own words */
	while ((choice = getopt_long(argc, argv, ":c:", longs, &index)) != -1) {
		if (choice == 'h') {
			print_help();
			return 1;
		}
		if (choice == '?' || choice == ':') {
			usage_error(argv, choice, argv[0]);
			return -EINVAL;
		}
		/* -c is the first row. */
		if (parse_option(settings, choice == 'c' ? 0 : (size_t)index, optarg))
			return -EINVAL;
	}
	if (optind < argc) {
		usage_surplus(argv[optind], argv[0]);
		return -EINVAL;
	}
	return check(settings, argv[0]);
}

int settings_apply(const struct settings *settings, unsigned int which, struct config *config)
{
	for (size_t i = 0; i < ROWS; i++) {
		const struct schema_key *key = row_key(&rows[i]);
		const char *from = (const char *)settings + rows[i].offset;
		char *to, *copy;

		if (!key || rows[i].object != &schema_config || !(which >> i & 1))
			continue;
		to = (char *)config + key->offset;
		if (!key->type->clear) {
			memcpy(to, from, key->width);
			continue;
		}
		from = *(const char *const *)from;
		copy = from ? strdup(from) : NULL;
		if (from && !copy)
			return -ENOMEM;
		key->type->clear(to);
		*(char **)to = copy;
	}
	return 0;
}
