/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ENVIRONMENT_H
#define PROXYD_ENVIRONMENT_H

#include <stddef.h>

#define ENVIRONMENT_TEXT_MAX 65536 /* of a value with its variables replaced */

/*
 * Replace ${NAME} by the environment variable, and ${NAME:-default} by the default where the
 * variable is not set or empty, as a shell does; $${ stands for ${ itself. What is put in is not
 * looked at again. *out is freed with free(). Returns 0; -EINVAL and in `why` what is wrong; or
 * -ENOMEM.
 */
int environment_expand(const char *text, char **out, char *why, size_t why_size);

/* The text that expands to this one. NULL: out of memory. Freed with free(). */
char *environment_escape(const char *text);

#endif
