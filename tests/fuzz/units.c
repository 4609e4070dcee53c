// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Numbers with units, from anything: what is taken is a number of units. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

static int is_unit(uint64_t factor)
{
	static const uint64_t units[] = {1,       1000,  1000000, 1000000000, 1 << 10, 1 << 20,
					 1 << 30, 60000, 3600000, 125,        125000,  125000000};

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (factor == units[i])
			return 1;
	return 0;
}

/* `format`, if there is one, writes the number so that it is read again. */
static void check(const char *text, int (*parse)(const char *, uint64_t *, const char **),
		  const char *(*format)(uint64_t, char *))
{
	const char *why = NULL;
	uint64_t value = 4711, number, again;
	char formatted[UNITS_TEXT];
	int err = parse(text, &value, &why);

	require(!err || (err == -EINVAL && why && *why && value == 4711));
	if (err)
		return;
	require(*text >= '0' && *text <= '9');
	number = strtoull(text, NULL, 10);
	require(number ? value % number == 0 && is_unit(value / number) : value == 0);
	if (format) {
		require(!parse(format(value, formatted), &again, &why));
		require(value == again);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	require(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	check(text, units_parse_bytes, units_format_bytes);
	check(text, units_parse_duration, units_format_duration);
	check(text, units_parse_percent, units_format_percent);
	check(text, units_parse_rate, units_format_rate);
	check(text, units_parse_bandwidth, units_format_bandwidth);
	check(text, units_parse_count, NULL);
	free(text);
	return 0;
}
