/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_USAGE_H
#define PROXYD_USAGE_H

/*
 * Say in one line what getopt_long() found wrong with `proxyd COMMAND`, for option strings that
 * start with ':' and with opterr at 0. Returns the exit status for it.
 */
int usage_error(char **argv, int choice, const char *command);

/* The same for an operand where none is taken. */
int usage_surplus(const char *operand, const char *command);

#endif
