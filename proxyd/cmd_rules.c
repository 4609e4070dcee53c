// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxyd rules */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "commands.h"
#include "config/load.h"
#include "config/usage.h"
#include "intake/local_route.h"
#include "intake/netfilter.h"
#include "intake/pins.h"
#include "log.h"
#include "proxy.h"

/* As a script for sh. */
static int print_listener(const struct config_listener *listener)
{
	const struct ruleset_form form = {0};
	int err = 0;

	if (listener->intercept.mode <= INTERCEPT_CONNECT)
		return 0;
	if (!listener->address.ipv4.sin_port) {
		log_error("listener %s: its port is not known before it runs; give it one other "
			  "than 0",
			  listener->name);
		return -EINVAL;
	}
	printf("# listener %s\n", listener->name);
	if (listener->intercept.mode != INTERCEPT_STEER) {
		printf("nft -f - <<'END'\n");
		err = ruleset_write(stdout, listener, &form);
		printf("END\n");
	}
	if (!err && listener->intercept.mode != INTERCEPT_REDIRECT)
		err = local_route_print(stdout, listener);
	return err;
}

static int print(const char *path)
{
	struct config_report report = {0};
	struct config *config = NULL;
	int err = config_load(path, &config, &report);

	if (err == -ENOMEM)
		log_error("out of memory");
	report_print(&report, stderr);
	for (unsigned int i = 0; !err && i < config->listener_count; i++)
		err = print_listener(&config->listeners[i]);
	config_free(config);
	report_clear(&report);
	return err ? PROXY_EXIT_USAGE : 0;
}

static int clear(void)
{
	unsigned int tables = 0, rules = 0, programs = 0;
	int err = netfilter_clear(&tables);

	/* One may be missing in this kernel: the others are cleared all the same. */
	err |= local_route_clear(&rules);
	err |= pins_clear(&programs);
	printf("removed: tables of netfilter %u, rules of routing %u, programs %u\n", tables, rules,
	       programs);
	return err ? PROXY_EXIT_FAILED : 0;
}

static void print_help(void)
{
	printf("usage: proxyd rules --print -c FILE\n"
	       "       proxyd rules --clear\n\n"
	       "The rules of netfilter and routing that bring connections to listeners with\n"
	       "`intercept`.\n\n"
	       "  --print              print them as a script for sh, for listeners that have\n"
	       "                       `rules: skip`\n"
	       "  -c, --config FILE    of this file\n"
	       "  --clear              remove what listeners with `on_exit: closed` have left in\n"
	       "                       this network namespace; also what those of a proxyd that\n"
	       "                       runs have there\n"
	       "  --help               print this\n\n"
	       "Exit status: 0 done, 2 the file or an option is wrong, 1 the kernel refused.\n");
}

static int run(const char *path, bool prints, bool clears)
{
	const char *wrong = "--print or --clear is missing";

	if (clears && (prints || path))
		wrong = "--clear removes all that there is, of whatever file: leave --print and "
			"--config out";
	else if (clears)
		return clear();
	else if (prints && path)
		return print(path);
	else if (prints)
		wrong = "--config is missing (whose rules)";
	log_error("%s; see proxyd rules --help", wrong);
	return PROXY_EXIT_USAGE;
}

int cmd_rules(int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"print", no_argument, NULL, 'p'},
		{"clear", no_argument, NULL, 'x'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *path = NULL;
	bool prints = false, clears = false;
	int choice;

	opterr = 0;
	while ((choice = getopt_long(argc, argv, ":c:", longs, NULL)) != -1) {
		switch (choice) {
		case 'c':
			path = optarg;
			break;
		case 'p':
			prints = true;
			break;
		case 'x':
			clears = true;
			break;
		case 'h':
			print_help();
			return 0;
		default:
			return usage_error(argv, choice, "rules");
		}
	}
	if (optind < argc)
		return usage_surplus(argv[optind], "rules");
	return run(path, prints, clears);
}
