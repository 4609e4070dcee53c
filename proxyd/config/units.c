// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/units.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

/* Each list: what a number is written in first, the largest unit first; NULL ends it. */
static const struct unit sizes[] = {
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1},  {"GB", 1000000000},
	{"MB", 1000000},  {"kB", 1000},     {"", 1},          {NULL, 0},
};
static const struct unit durations[] = {
	{"h", 60 * 60 * 1000}, {"m", 60 * 1000}, {"s", 1000}, {"ms", 1}, {NULL, 0},
};
static const struct unit percents[] = {{"%", 1}, {NULL, 0}};
static const struct unit rates[] = {{"/s", 1}, {"", 1}, {NULL, 0}};
static const struct unit bandwidths[] = {
	{"GiB/s", 1 << 30},
	{"MiB/s", 1 << 20},
	{"KiB/s", 1 << 10},
	{"B/s", 1},
	{"GB/s", 1000000000},
	{"MB/s", 1000000},
	{"kB/s", 1000},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"B", 1},
	{"GB", 1000000000},
	{"MB", 1000000},
	{"kB", 1000},
	{"", 1},
	{"Gbit/s", 125000000},
	{"Mbit/s", 125000},
	{"kbit/s", 125},
	{"Gbit", 125000000},
	{"Mbit", 125000},
	{"kbit", 125},
	{NULL, 0},
};
static const struct unit none[] = {{"", 1}, {NULL, 0}};

static int parse(const char *text, const struct unit *units, uint64_t *value, const char **why,
		 const char *example)
{
	unsigned long long number;
	char *end;

	*why = example;
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	number = strtoull(text, &end, 10);
	for (const struct unit *unit = units; unit->name; unit++) {
		if (strcmp(end, unit->name))
			continue;
		if (errno || number > UINT64_MAX / unit->factor) {
			*why = "it is too large";
			return -EINVAL;
		}
		*value = number * unit->factor;
		return 0;
	}
	return -EINVAL;
}

/* The first unit that divides it; 0 is written in the first that is 1. */
static const char *format(uint64_t value, const struct unit *units, char text[UNITS_TEXT])
{
	const struct unit *unit = units;

	while (unit->factor > 1 && (!value || value % unit->factor))
		unit++;
	snprintf(text, UNITS_TEXT, "%llu%s", (unsigned long long)(value / unit->factor),
		 unit->name);
	return text;
}

int units_parse_bytes(const char *text, uint64_t *bytes, const char **why)
{
	return parse(text, sizes, bytes, why, "it is no size, as in 4MiB or 65536");
}

int units_parse_duration(const char *text, uint64_t *milliseconds, const char **why)
{
	if (!strcmp(text, "0")) {
		*milliseconds = 0;
		return 0;
	}
	return parse(text, durations, milliseconds, why,
		     "it is no time, as in 500ms, 10s, 5m or 1h");
}

int units_parse_percent(const char *text, uint64_t *percent, const char **why)
{
	return parse(text, percents, percent, why, "it is no percentage, as in 20%");
}

int units_parse_rate(const char *text, uint64_t *per_second, const char **why)
{
	return parse(text, rates, per_second, why, "it is no rate, as in 50/s");
}

int units_parse_bandwidth(const char *text, uint64_t *bytes_per_second, const char **why)
{
	return parse(text, bandwidths, bytes_per_second, why,
		     "it is no bandwidth, as in 10MiB/s or 100Mbit/s");
}

int units_parse_count(const char *text, uint64_t *count, const char **why)
{
	return parse(text, none, count, why, "it is no number, as in 128");
}

int units_parse_mark(const char *text, uint64_t *mark, const char **why)
{
	static const char example[] = "it is no number, as in 7 or 0x1f";
	unsigned long long number;

	if (text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
		return parse(text, none, mark, why, example);
	*why = example;
	if (!text[2] || strspn(text + 2, "0123456789abcdefABCDEF") != strlen(text + 2))
		return -EINVAL;
	errno = 0;
	number = strtoull(text, NULL, 16);
	if (errno)
		return -EINVAL;
	*mark = number;
	return 0;
}

const char *units_format_bytes(uint64_t bytes, char text[UNITS_TEXT])
{
	return format(bytes, sizes, text);
}

const char *units_format_duration(uint64_t milliseconds, char text[UNITS_TEXT])
{
	return milliseconds ? format(milliseconds, durations, text) : strcpy(text, "0s");
}

const char *units_format_percent(uint64_t percent, char text[UNITS_TEXT])
{
	return format(percent, percents, text);
}

const char *units_format_rate(uint64_t per_second, char text[UNITS_TEXT])
{
	return format(per_second, rates, text);
}

const char *units_format_bandwidth(uint64_t bytes_per_second, char text[UNITS_TEXT])
{
	return format(bytes_per_second, bandwidths, text);
}
