/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef TESTS_UNIT_CONFIG_ERRORS_H
#define TESTS_UNIT_CONFIG_ERRORS_H

/* Mistakes in a configuration file, and the very lines that are said of them. */

#include <stddef.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define LISTENER     "listeners: 127.0.0.1:1\n"
#define CLOSE        "routes: {reject: close}\n"
#define REST         LISTENER CLOSE
#define POOL         "upstreams: {name: a, endpoints: 127.0.0.1:2}\n"
#define ROUTES       LISTENER POOL "routes:\n"
#define LISTENER_OF  "listeners:\n- address: 127.0.0.1:1\n"
#define POOL_OF      LISTENER "routes: {upstream: a}\nupstreams:\n- name: a\n"

struct wrong {
	const char *text;
	const char *says; /* all lines of the report */
};

/* What is said of a file of `size` bytes, in a buffer of `room` bytes. Returns as the loader. */
int load_wrong(const char *text, size_t size, char *said, size_t room);

/* That each of them is said what it says. */
void expect_wrong(const struct wrong *cases, size_t count);

/* That one line is said of it, which ends with `says`. */
void expect_one(const char *text, size_t size, const char *says);

#endif
