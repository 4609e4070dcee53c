// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "log.h"
#include "proxy.h"

static int cmd_version(int argc, char **argv);
static int cmd_help(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} commands[] = {
	{"run", cmd_run, "run the proxy in the foreground"},
	{"exec", cmd_exec, "run a command whose connections are proxied"},
	{"check", cmd_check, "say whether a configuration file is fine"},
	{"status", cmd_status, "print what a running proxyd is doing"},
	{"connections", cmd_connections, "print each flow of a running proxyd"},
	{"reload", cmd_reload, "have it read its config file again"},
	{"drain", cmd_drain, "give a listener or an endpoint no new flows"},
	{"set", cmd_set, "change an endpoint's weight"},
	{"accelerate", cmd_accelerate, "move local connections' payload from socket to socket"},
	{"rules", cmd_rules, "print or clear the rules that bring connections to it"},
	{"doctor", cmd_doctor, "find out what this kernel lets proxyd do"},
	{"version", cmd_version, "print the version"},
	{"help", cmd_help, "print this"},
};

static int cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("proxyd %s\n", PROXYD_VERSION);
	return 0;
}

static int cmd_help(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	printf("usage: proxyd COMMAND [OPTION...]\n\n"
	       "A transparent TCP proxy whose payload does not pass through the proxy.\n\n");
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		printf("  %-11s %s\n", commands[i].name, commands[i].help);
	printf("\nEach has --help. See proxyd(8).\n");
	return 0;
}

static const char *without_dashes(const char *name)
{
	return !strcmp(name, "--help") || !strcmp(name, "--version") ? name + 2 : name;
}

/* What printf() could not write shows here at the latest: a full disk, a closed descriptor. */
static int finish_output(int status)
{
	int failed = ferror(stdout);

	if (!fflush(stdout) && !failed)
		return status;
	log_error("standard output: %s", failed ? "not all could be written" : strerror(errno));
	return PROXY_EXIT_OUTPUT;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? without_dashes(argv[1]) : "";

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(name, commands[i].name))
			return finish_output(commands[i].run(argc - 1, argv + 1));
	if (*name)
		fprintf(stderr, "proxyd: error: %s: no such command; see proxyd help\n", name);
	else
		fprintf(stderr, "proxyd: error: a command is missing; see proxyd help\n");
	return PROXY_EXIT_USAGE;
}
