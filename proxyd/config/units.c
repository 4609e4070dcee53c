// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/units.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct unit {
	const char *name;
	uint64_t factor;
};

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

int units_parse_bytes(const char *text, uint64_t *bytes, const char **why)
{
	static const struct unit units[] = {
		{"", 1},          {"B", 1},     {"KiB", 1 << 10},    {"MiB", 1 << 20},
		{"GiB", 1 << 30}, {"kB", 1000}, {"MB", 1000 * 1000}, {"GB", 1000 * 1000 * 1000},
		{NULL, 0},
	};

	return parse(text, units, bytes, why, "it is no size, as in 4MiB or 65536");
}

int units_parse_duration(const char *text, uint64_t *milliseconds, const char **why)
{
	static const struct unit units[] = {
		{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}, {NULL, 0},
	};

	if (!strcmp(text, "0")) {
		*milliseconds = 0;
		return 0;
	}
	return parse(text, units, milliseconds, why, "it is no time, as in 500ms, 10s, 5m or 1h");
}
