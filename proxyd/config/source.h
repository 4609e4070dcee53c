/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_SOURCE_H
#define PROXYD_SOURCE_H

/* The bytes of a configuration file, before anything is made of them. */

#include <stddef.h>

#include "config/report.h"

#define SOURCE_MAX (1024 * 1024)

/*
 * Read a file of at most SOURCE_MAX bytes; *out ends with a NUL that *size does not count and is
 * freed with free(). Returns 0, or -errno with the reason in the report.
 */
int source_read(const char *path, char **out, size_t *size, struct config_report *report);

/*
 * Whether it is text as YAML has it (YAML 1.1, 5.1): UTF-8 without control characters. Returns 0,
 * or -EINVAL with the place and the reason in the report.
 */
int source_check(const char *text, size_t size, struct config_report *report);

/* The byte at a place, counted from 0 as libyaml counts, lines ended by '\n'. '\0': none. */
char source_at(const char *text, size_t size, size_t line, size_t column);

/* Add an error at a place (from 1; 0: none). Returns -EINVAL. */
int source_fail(struct config_report *report, unsigned int line, unsigned int column,
		const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
