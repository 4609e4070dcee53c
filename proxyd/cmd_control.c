// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxyd reload, drain, set: what the running proxyd is told to do. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "config/usage.h"
#include "control/control.h"
#include "log.h"

struct arguments {
	const char *path;
	bool undo;
	char **operands;
	int count;
};

/* Consumes the request. */
static int ask(const char *path, json_t *request, unsigned int seconds)
{
	json_t *answer = control_ask(path, request, seconds);
	const char *error;

	json_decref(request);
	if (!answer)
		return PROXY_EXIT_CONTROL;
	error = json_string_value(json_object_get(answer, "error"));
	if (error)
		log_error("%s", error);
	json_decref(answer);
	return error ? PROXY_EXIT_FAILED : 0;
}

/* Returns 0; 1 when the help was printed; -1 when something is wrong, which was said. */
static int parse(int argc, char **argv, const char *help, struct arguments *out)
{
	static const struct option longs[] = {
		{"control", required_argument, NULL, 'c'},
		{"undo", no_argument, NULL, 'u'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int choice;

	*out = (struct arguments){.path = SETTINGS_CONTROL_DEFAULT};
	opterr = 0;
	while ((choice = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		switch (choice) {
		case 'c':
			out->path = optarg;
			break;
		case 'u':
			out->undo = true;
			break;
		case 'h':
			printf("%s\nPATH is the control socket of the running proxyd (default "
			       "%s).\n",
			       help, SETTINGS_CONTROL_DEFAULT);
			return 1;
		default:
			usage_error(argv, choice, argv[0]);
			return -1;
		}
	}
	out->operands = argv + optind;
	out->count = argc - optind;
	return 0;
}

static int wrong_operands(const char *command)
{
	log_error("%s: operands are missing or too many; see proxyd %s --help", command, command);
	return PROXY_EXIT_USAGE;
}

int cmd_reload(int argc, char **argv)
{
	static const char help[] =
		"usage: proxyd reload [--control PATH]\n\n"
		"Have proxyd read its config file again. A bad file changes nothing, and proxyd's "
		"log says\nwhat is wrong. Live flows are not touched.\n";
	struct arguments arguments;
	int result = parse(argc, argv, help, &arguments);

	if (result)
		return result < 0 ? PROXY_EXIT_USAGE : 0;
	if (arguments.count || arguments.undo)
		return wrong_operands("reload");
	return ask(arguments.path, json_pack("{s:s}", "command", "reload"), CONTROL_RELOAD_S);
}

int cmd_drain(int argc, char **argv)
{
	static const char help[] =
		"usage: proxyd drain LISTENER|UPSTREAM/ENDPOINT [--undo] [--control PATH]\n\n"
		"Give it no new flows; those that it has may finish. --undo takes that back for "
		"an\n"
		"endpoint; a listener is opened again by a reload.\n";
	struct arguments arguments;
	int result = parse(argc, argv, help, &arguments);

	if (result)
		return result < 0 ? PROXY_EXIT_USAGE : 0;
	if (arguments.count != 1)
		return wrong_operands("drain");
	return ask(arguments.path,
		   json_pack("{s:s,s:s,s:b}", "command", "drain", "target", arguments.operands[0],
			     "undo", arguments.undo),
		   CONTROL_ANSWER_S);
}

int cmd_set(int argc, char **argv)
{
	static const char help[] =
		"usage: proxyd set weight UPSTREAM/ENDPOINT WEIGHT [--control PATH]\n\n"
		"Change an endpoint's weight, 0 to 256. 0: it takes no new flows.\n";
	struct arguments arguments;
	int result = parse(argc, argv, help, &arguments);
	char *end = "";
	long weight;

	if (result)
		return result < 0 ? PROXY_EXIT_USAGE : 0;
	if (arguments.count != 3 || arguments.undo || strcmp(arguments.operands[0], "weight"))
		return wrong_operands("set");
	weight = strtol(arguments.operands[2], &end, 10);
	if (*end || end == arguments.operands[2]) {
		log_error("set weight: %s: it is no number", arguments.operands[2]);
		return PROXY_EXIT_USAGE;
	}
	return ask(arguments.path,
		   json_pack("{s:s,s:s,s:I}", "command", "weight", "target", arguments.operands[1],
			     "weight", (json_int_t)weight),
		   CONTROL_ANSWER_S);
}
