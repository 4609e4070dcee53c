// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/usage.h"

#include <getopt.h>

#include "log.h"
#include "proxy.h"

int usage_error(char **argv, int choice, const char *command)
{
	log_error("%s: %s; see proxyd %s --help", argv[optind - 1],
		  choice == ':' ? "a value must follow" : "no such option", command);
	return PROXY_EXIT_USAGE;
}

int usage_surplus(const char *operand, const char *command)
{
	log_error("%s: not an option; see proxyd %s --help", operand, command);
	return PROXY_EXIT_USAGE;
}
