/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_HOSTNAME_H
#define PROXYD_HOSTNAME_H

#include <stdint.h>

#define HOSTNAME_MAX 253 /* RFC 1035, 2.3.4, as text */

/* About what hostname_check() takes, as a regular expression (ECMA 262). */
#define HOSTNAME_PATTERN "[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?"

/* Each returns 0, or -EINVAL and in *why what is wrong, as part of a sentence. */

/*
 * A name that DNS may have: labels of letters, digits, '-' and '_', the last of them not a number
 * (that would be a mistyped address). A dot may end it.
 */
int hostname_check(const char *text, const char **why);

/* The same, or such a name behind "*.", or "*" alone. */
int hostname_check_pattern(const char *text, const char **why);

/* "name:port". `host` has room for HOSTNAME_MAX + 2 bytes. */
int hostname_parse_port(const char *text, char *host, uint16_t *port, const char **why);

#endif
