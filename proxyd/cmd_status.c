// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxyd status */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "config/usage.h"
#include "control/control.h"
#include "control/status.h"
#include "log.h"

static int ask(const char *path, bool json)
{
	json_t *request = json_pack("{s:s}", "command", "status");
	json_t *status = control_ask(path, request);

	json_decref(request);
	if (!status) {
		log_error("no answer at %s: %s; is proxyd running? (--control names its socket)",
			  path, strerror(errno));
		return PROXY_EXIT_CONTROL;
	}
	if (json_object_get(status, "error")) {
		log_error("proxyd answers: %s",
			  json_string_value(json_object_get(status, "error")));
		json_decref(status);
		return PROXY_EXIT_CONTROL;
	}
	if (json) {
		json_dumpf(status, stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		status_print(status);
	}
	json_decref(status);
	return 0;
}

int cmd_status(int argc, char **argv)
{
	static const struct option longs[] = {
		{"json", no_argument, NULL, 'j'},
		{"control", required_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	const char *path = SETTINGS_CONTROL_DEFAULT;
	bool json = false;
	int choice;

	opterr = 0;
	while ((choice = getopt_long(argc, argv, ":jh", longs, NULL)) != -1) {
		switch (choice) {
		case 'j':
			json = true;
			break;
		case 'c':
			path = optarg;
			break;
		case 'h':
			printf("usage: proxyd status [--json] [--control PATH]\n\n"
			       "Print what the running proxyd is doing: flows, bytes by lane, "
			       "fallbacks and\n"
			       "errors. PATH is its control socket "
			       "(default " SETTINGS_CONTROL_DEFAULT ").\n");
			return 0;
		default:
			return usage_error(argv, choice, "status");
		}
	}
	if (optind < argc)
		return usage_surplus(argv[optind], "status");
	return ask(path, json);
}
