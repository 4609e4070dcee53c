/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_UNITS_H
#define PROXYD_UNITS_H

#include <stdint.h>

/*
 * Numbers with units, as people write them. Each units_parse_...() returns 0, or -EINVAL and in
 * *why what is wrong, as part of a sentence.
 */

/* "65536", "64KiB", "4MiB", "1GiB", "4MB": bytes. */
int units_parse_bytes(const char *text, uint64_t *bytes, const char **why);

/* "250ms", "10s", "5m", "1h", "0": milliseconds. A bare number other than 0 is refused. */
int units_parse_duration(const char *text, uint64_t *milliseconds, const char **why);

/* "20%". */
int units_parse_percent(const char *text, uint64_t *percent, const char **why);

/* "50" or "50/s". */
int units_parse_rate(const char *text, uint64_t *per_second, const char **why);

/* A size, with or without "/s", or "100Mbit/s": bytes a second. */
int units_parse_bandwidth(const char *text, uint64_t *bytes_per_second, const char **why);

/* "128", with nothing behind it. */
int units_parse_count(const char *text, uint64_t *count, const char **why);

/* A count, or hexadecimal as in "0x1f". */
int units_parse_mark(const char *text, uint64_t *mark, const char **why);

#define UNITS_TEXT 32

/*
 * Write a number in the largest unit that divides it, as the parser of the same name takes it.
 * Return `text`.
 */
const char *units_format_bytes(uint64_t bytes, char text[UNITS_TEXT]);
const char *units_format_duration(uint64_t milliseconds, char text[UNITS_TEXT]);
const char *units_format_percent(uint64_t percent, char text[UNITS_TEXT]);
const char *units_format_rate(uint64_t per_second, char text[UNITS_TEXT]);
const char *units_format_bandwidth(uint64_t bytes_per_second, char text[UNITS_TEXT]);

#endif
