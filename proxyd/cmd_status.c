// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxyd status, connections: what the running proxyd tells. */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "config/usage.h"
#include "control/connections.h"
#include "control/control.h"
#include "control/status.h"
#include "log.h"

struct arguments {
	const char *path;
	const char *listener, *upstream; /* NULL: all */
	bool json;
};

/* Returns the answer, or NULL when it has said why there is none. */
static json_t *ask(const char *path, const json_t *request)
{
	json_t *answer = control_ask(path, request, CONTROL_ANSWER_S);

	if (!answer)
		return NULL;
	if (!json_object_get(answer, "error"))
		return answer;
	log_error("proxyd answers: %s", json_string_value(json_object_get(answer, "error")));
	json_decref(answer);
	return NULL;
}

/* Returns 0; 1 when the help was printed; -1 when something is wrong, which was said. */
static int parse(int argc, char **argv, const struct option *longs, const char *help,
		 struct arguments *out)
{
	int choice;

	*out = (struct arguments){.path = SETTINGS_CONTROL_DEFAULT};
	opterr = 0;
	while ((choice = getopt_long(argc, argv, ":jh", longs, NULL)) != -1) {
		switch (choice) {
		case 'j':
			out->json = true;
			break;
		case 'c':
			out->path = optarg;
			break;
		case 'l':
			out->listener = optarg;
			break;
		case 'u':
			out->upstream = optarg;
			break;
		case 'h':
			printf("%s", help);
			return 1;
		default:
			usage_error(argv, choice, argv[0]);
			return -1;
		}
	}
	if (optind == argc)
		return 0;
	usage_surplus(argv[optind], argv[0]);
	return -1;
}

int cmd_status(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"control", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	static const char help[] =
		"usage: proxyd status [--json] [--control PATH]\n\n"
		"Print what the running proxyd is doing: flows, bytes by lane, fallbacks and\n"
		"errors. PATH is its control socket (default " SETTINGS_CONTROL_DEFAULT ").\n";
	struct arguments arguments;
	int result = parse(argc, argv, longs, help, &arguments);
	json_t *request, *status;

	if (result)
		return result < 0 ? PROXY_EXIT_USAGE : 0;
	request = json_pack("{s:s}", "command", "status");
	status = ask(arguments.path, request);
	json_decref(request);
	if (!status)
		return PROXY_EXIT_CONTROL;
	if (arguments.json) {
		json_dumpf(status, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		status_print(status);
	}
	json_decref(status);
	return 0;
}

/* Piece by piece, as the answers say. Returns an exit status. */
static int list_connections(const struct arguments *arguments)
{
	struct connections_printer printer = {.json = arguments->json};
	json_t *next = json_integer(0);

	while (json_is_integer(next)) {
		json_t *request =
			json_pack("{s:s,s:o,s:s?,s:s?}", "command", "connections", "next", next,
				  "listener", arguments->listener, "upstream", arguments->upstream);
		json_t *answer = ask(arguments->path, request);

		json_decref(request);
		if (!answer)
			return PROXY_EXIT_CONTROL;
		connections_print(&printer, answer);
		next = json_incref(json_object_get(answer, "next"));
		json_decref(answer);
	}
	json_decref(next);
	connections_print_end(&printer);
	return 0;
}

int cmd_connections(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"control", required_argument, NULL, 'c'},
		{"listener", required_argument, NULL, 'l'},
		{"upstream", required_argument, NULL, 'u'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	static const char help[] =
		"usage: proxyd connections [--json] [--listener NAME] [--upstream NAME] "
		"[--control PATH]\n\n"
		"Print each flow of the running proxyd: its ends, its age, its bytes by lane "
		"(up/down), "
		"the\n"
		"lanes that they take now, and why the client's and the server's socket are in "
		"the\n"
		"direct lane or not. Only flows of that listener, and to that upstream. PATH is\n"
		"proxyd's control socket (default " SETTINGS_CONTROL_DEFAULT ").\n";
	struct arguments arguments;
	int result = parse(argc, argv, longs, help, &arguments);

	if (result)
		return result < 0 ? PROXY_EXIT_USAGE : 0;
	return list_connections(&arguments);
}
