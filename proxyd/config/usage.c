// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/usage.h"

#include <getopt.h>
#include <stdbool.h>
#include <string.h>

#include "log.h"
#include "proxy.h"

/* Options of one letter in one word: getopt(3) stays there until it has read them all. */
static bool is_within(const char *word)
{
	return word && word[0] == '-' && word[1] != '-' && strchr(word + 1, optopt);
}

static const char *what_is_wrong(const char *option, int choice)
{
	if (choice == ':')
		return "a value must follow";
	/* getopt(3) knows it, and has left its letter there. */
	if (!strncmp(option, "--", 2) && strchr(option, '=') && optopt)
		return "it takes no value";
	return "no such option";
}

int usage_error(char **argv, int choice, const char *command)
{
	const char *option = argv[optind - 1];

	if (choice == '?' && optopt && is_within(argv[optind]))
		option = argv[optind];
	log_error("%s: %s; see proxyd %s --help", option, what_is_wrong(option, choice), command);
	return PROXY_EXIT_USAGE;
}

int usage_surplus(const char *operand, const char *command)
{
	log_error("%s: not an option; see proxyd %s --help", operand, command);
	return PROXY_EXIT_USAGE;
}
