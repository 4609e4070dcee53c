// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxyd check */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "config/describe.h"
#include "config/load.h"
#include "config/print.h"
#include "config/usage.h"
#include "log.h"
#include "proxy.h"

struct options {
	const char *path;
	bool print, json, schema, markdown;
};

static int print_tree(json_t *tree, bool json)
{
	int err = tree ? 0 : -ENOMEM;

	if (!err && json) {
		err = json_dumpf(tree, stdout, JSON_INDENT(2)) ? -EIO : 0;
		printf("\n");
	} else if (!err) {
		err = yaml_write(tree, stdout);
	}
	json_decref(tree);
	if (err)
		log_error("cannot print it: %s", strerror(-err));
	return err ? PROXY_EXIT_FAILED : 0;
}

/* All there is to say, in one object. */
static int print_json(const struct options *options, const struct config *config,
		      const struct config_report *report)
{
	json_t *answer = json_pack("{s:s%, s:b, s:o}", "file", options->path, strlen(options->path),
				   "valid", config != NULL, "messages", report_json(report));

	if (answer && options->print && config)
		json_object_set_new(answer, "config", config_to_json(config));
	return print_tree(answer, true);
}

static void print_summary(const char *path, const struct config *config)
{
	printf("%s is fine: %u listener%s, %u route%s, %u upstream%s\n", path,
	       config->listener_count, config->listener_count == 1 ? "" : "s", config->route_count,
	       config->route_count == 1 ? "" : "s", config->upstream_count,
	       config->upstream_count == 1 ? "" : "s");
}

static int check_file(const struct options *options)
{
	struct config_report report = {0};
	struct config *config = NULL;
	int status = 0;
	int err = config_load(options->path, &config, &report);

	if (err == -ENOMEM)
		log_error("out of memory");
	if (options->json)
		status = print_json(options, config, &report);
	else
		report_print(&report, stderr);
	if (!err && !options->json && options->print)
		status = print_tree(config_to_json(config), false);
	else if (!err && !options->json)
		print_summary(options->path, config);
	config_free(config);
	report_clear(&report);
	return err ? PROXY_EXIT_USAGE : status;
}

static int run(const struct options *options)
{
	if (options->schema)
		return print_tree(describe_json_schema(), true);
	if (options->markdown) {
		describe_markdown(stdout);
		return 0;
	}
	if (options->path)
		return check_file(options);
	log_error("--config is missing (the file to check); see proxyd check --help");
	return PROXY_EXIT_USAGE;
}

static void print_help(void)
{
	printf("usage: proxyd check -c FILE [--print] [--json]\n"
	       "       proxyd check --schema\n\n"
	       "Say whether a configuration file is fine, and what is wrong with it. Nothing is\n"
	       "opened or changed.\n\n"
	       "  -c, --config FILE    the file\n"
	       "  --print              print all of the configuration, with its defaults\n"
	       "  --json               print JSON: {file, valid, messages, and with --print "
	       "config}\n"
	       "  --schema             print a JSON schema of the file, for editors\n"
	       "  --markdown           print the reference of all keys, for docs/configuration.md\n"
	       "  --help               print this\n\n"
	       "Exit status: 0 the file is fine, 2 it is not, or an option is wrong, 1 the result\n"
	       "cannot be printed.\n");
}

int cmd_check(int argc, char **argv)
{
	static const struct option longs[] = {
		{"config", required_argument, NULL, 'c'},
		{"print", no_argument, NULL, 'p'},
		{"json", no_argument, NULL, 'j'},
		{"schema", no_argument, NULL, 's'},
		{"markdown", no_argument, NULL, 'm'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct options options = {0};
	int choice;

	opterr = 0;
	while ((choice = getopt_long(argc, argv, ":c:", longs, NULL)) != -1) {
		switch (choice) {
		case 'c':
			options.path = optarg;
			break;
		case 'p':
			options.print = true;
			break;
		case 'j':
			options.json = true;
			break;
		case 's':
			options.schema = true;
			break;
		case 'm':
			options.markdown = true;
			break;
		case 'h':
			print_help();
			return 0;
		default:
			return usage_error(argv, choice, "check");
		}
	}
	if (optind < argc)
		return usage_surplus(argv[optind], "check");
	return run(&options);
}
