// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/settings.h"

#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/units.h"
#include "config/usage.h"
#include "log.h"
#include "policy/cidr.h"
#include "sidelane/shared.h"

#define WINDOW_MIN (64 * 1024)
#define WINDOW_MAX (1024 * 1024 * 1024)

/* A century, so that the sum of a clock and a time does not overflow. */
#define DURATION_MAX (1000000ULL * 60 * 60 * 1000)

typedef int parse_fn(void *field, const char *text, const char **why);

/* One row an option: parser, default and help in one place. */
struct option_row {
	const char *name;
	const char *operand; /* NULL: a switch */
	parse_fn *parse;
	size_t offset;
	const char *help;
};

static const char *const lane_names[] = {
	[LANE_AUTO] = "auto",
	[LANE_KERNEL] = "kernel",
	[LANE_RELAY] = "relay",
};

const char *lane_choice_name(enum lane_choice lane)
{
	return lane_names[lane];
}

static int parse_address(void *field, const char *text, const char **why)
{
	struct address_list *list = field;
	int err;

	if (list->count == SETTINGS_ADDRESSES_MAX) {
		*why = "there are too many (64 at most)";
		return -EINVAL;
	}
	err = address_parse(text, &list->items[list->count], why);
	if (!err)
		list->count++;
	return err;
}

static bool same_address(const struct address *a, const struct address *b)
{
	uint8_t bytes[2][16];

	cidr_address_bytes(a, bytes[0]);
	cidr_address_bytes(b, bytes[1]);
	return !memcmp(bytes[0], bytes[1], sizeof(bytes[0])) &&
	       a->ipv4.sin_port == b->ipv4.sin_port && /* sin6_port is at the same place */
	       (a->any.sa_family != AF_INET6 || b->any.sa_family != AF_INET6 ||
		a->ipv6.sin6_scope_id == b->ipv6.sin6_scope_id);
}

/* SO_REUSEPORT, with which the workers share an address, would let it pass without a word. */
static int parse_listen(void *field, const char *text, const char **why)
{
	struct address_list *list = field;
	int err = parse_address(field, text, why);

	for (unsigned int i = 0; !err && i + 1 < list->count; i++)
		if (same_address(&list->items[i], &list->items[list->count - 1])) {
			*why = "it is given twice";
			err = -EINVAL;
		}
	return err;
}

static int parse_lane(void *field, const char *text, const char **why)
{
	for (int lane = LANE_AUTO; lane <= LANE_RELAY; lane++) {
		if (strcmp(text, lane_names[lane]))
			continue;
		*(enum lane_choice *)field = (enum lane_choice)lane;
		return 0;
	}
	*why = "the lanes are auto, kernel and relay";
	return -EINVAL;
}

static int parse_number(const char *text, uint64_t *number, const char **why)
{
	char *end;

	*why = "it is no number";
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*number = strtoull(text, &end, 10);
	return *end || errno ? -EINVAL : 0;
}

static int parse_workers(void *field, const char *text, const char **why)
{
	uint64_t workers;
	int err = parse_number(text, &workers, why);

	if (!err && (workers < 1 || workers > SL_WORKERS_MAX)) {
		*why = "it must be 1 to 64";
		err = -EINVAL;
	}
	if (!err)
		*(uint64_t *)field = workers;
	return err;
}

static int parse_window(void *field, const char *text, const char **why)
{
	uint64_t bytes;
	int err = units_parse_bytes(text, &bytes, why);

	if (!err && (bytes < WINDOW_MIN || bytes > WINDOW_MAX)) {
		*why = "it must be 64KiB to 1GiB";
		err = -EINVAL;
	}
	if (!err)
		*(uint64_t *)field = bytes;
	return err;
}

static int parse_duration(void *field, const char *text, const char **why)
{
	uint64_t milliseconds;
	int err = units_parse_duration(text, &milliseconds, why);

	if (!err && milliseconds > DURATION_MAX) {
		*why = "it must be at most 1000000h";
		err = -EINVAL;
	}
	if (!err)
		*(uint64_t *)field = milliseconds;
	return err;
}

static int parse_string(void *field, const char *text, const char **why)
{
	*why = "it is empty";
	if (!*text)
		return -EINVAL;
	*(const char **)field = text;
	return 0;
}

static int parse_seed(void *field, const char *text, const char **why)
{
	struct settings *settings = field;

	settings->switch_lanes = true;
	return parse_number(text, &settings->switch_seed, why);
}

static int set_true(void *field, const char *text, const char **why)
{
	(void)text;
	(void)why;
	*(bool *)field = true;
	return 0;
}

#define FIELD(name) offsetof(struct settings, name)

static const struct option_row rows[] = {
	{"listen", "ADDR:PORT", parse_listen, FIELD(listen),
	 "accept connections here (repeatable; [::1]:9000 for IPv6)"},
	{"upstream", "ADDR:PORT", parse_address, FIELD(upstream),
	 "connect them to here (repeatable: taken in turn, the next one when\n"
	 "                       a connect fails)"},
	{"lane", "LANE", parse_lane, FIELD(lane),
	 "auto: whichever is cheaper for what the flow does (default);\n"
	 "                       kernel: spliced in the kernel from the first byte;\n"
	 "                       relay: through user space"},
	{"workers", "N", parse_workers, FIELD(workers), "threads (default: one a core)"},
	{"window", "BYTES", parse_window, FIELD(window),
	 "kernel memory that a direction may hold (default 4MiB)"},
	{"control", "PATH", parse_string, FIELD(control),
	 "control socket (default " SETTINGS_CONTROL_DEFAULT ")"},
	{"cgroup", "PATH", parse_string, FIELD(cgroup),
	 "cgroup v2 directory that holds proxyd, to attach sock_ops to (default:\n"
	 "                       found by itself; used by --lane kernel only)"},
	{"connect-timeout", "TIME", parse_duration, FIELD(connect_timeout),
	 "give an endpoint up after this long (default 10s)"},
	{"idle-timeout", "TIME", parse_duration, FIELD(idle_timeout),
	 "close a flow that moved no byte for this long (default 1h; 0: never)"},
	{"drain-timeout", "TIME", parse_duration, FIELD(drain_timeout),
	 "on SIGTERM, let live flows finish for this long (default 30s)"},
	{"stream-parser", NULL, set_true, FIELD(stream_parser),
	 "attach the verdict program behind a stream parser (kernels before 6.2)"},
	{"debug-switch-lanes", "SEED", parse_seed, 0,
	 "move flows between lanes at random (for tests)"},
	{"verbose", NULL, set_true, FIELD(verbose), "say more"},
};

#define ROWS (sizeof(rows) / sizeof(rows[0]))

void settings_init(struct settings *settings)
{
	*settings = (struct settings){
		.lane = LANE_AUTO,
		.window = 4 * 1024 * 1024,
		.control = SETTINGS_CONTROL_DEFAULT,
		.connect_timeout = 10 * 1000,
		.idle_timeout = 60 * 60 * 1000,
		.drain_timeout = 30 * 1000,
		.probe = true,
	};
}

static void print_help(void)
{
	printf("usage: proxyd run --listen ADDR:PORT --upstream ADDR:PORT [OPTION...]\n\n"
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

static int check(const struct settings *settings)
{
	if (settings->listen.count && settings->upstream.count)
		return 0;
	log_error("%s%s%s; see proxyd run --help",
		  settings->listen.count ? "" : "--listen is missing (where to accept connections)",
		  settings->listen.count || settings->upstream.count ? "" : ", ",
		  settings->upstream.count ? "" : "--upstream is missing (where to connect to)");
	return -EINVAL;
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
	while ((choice = getopt_long(argc, argv, ":", longs, &index)) != -1) {
		const char *why = "";

		if (choice == 'h') {
			print_help();
			return 1;
		}
		if (choice == '?' || choice == ':') {
			usage_error(argv, choice, "run");
			return -EINVAL;
		}
		if (rows[index].parse((char *)settings + rows[index].offset, optarg, &why)) {
			log_error("--%s %s: %s", rows[index].name, optarg, why);
			return -EINVAL;
		}
	}
	if (optind < argc) {
		usage_surplus(argv[optind], "run");
		return -EINVAL;
	}
	return check(settings);
}
