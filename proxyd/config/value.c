// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Numbers, switches and choices. */
#include "config/value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/suggest.h"

#define CHOICES_MAX 16
#define LISTED_MAX  8 /* names that a message lists */

int value_fail(const struct value_scope *scope, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(scope->why, VALUE_WHY, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

int value_unknown(const struct value_scope *scope, const char *text, const char *what,
		  const char *const *names, size_t count)
{
	const char *meant = suggest(text, names, count);
	char given[EXCERPT], known[EXCERPT];
	size_t used;

	if (meant)
		return value_fail(scope, "%s '%s'; did you mean '%s'?", what, excerpt(text, given),
				  excerpt(meant, known));
	value_fail(scope, "%s '%s'%s", what, excerpt(text, given), count == 0 ? "" : "; there is ");
	if (count == 1)
		return value_fail(scope, "%s '%s'; there is only '%s'", what, given,
				  excerpt(names[0], known));
	if (count > LISTED_MAX)
		return value_fail(scope, "%s '%s'", what, given);
	for (size_t i = 0; i < count; i++) {
		used = strlen(scope->why);
		snprintf(scope->why + used, VALUE_WHY - used, "%s%s",
			 i == 0          ? ""
			 : i + 1 < count ? ", "
					 : " and ",
			 excerpt(names[i], known));
	}
	return -EINVAL;
}

/* ---- Numbers ------------------------------------------------------------------------------ */

static void store(void *field, size_t width, uint64_t number)
{
	if (width == sizeof(uint16_t))
		*(uint16_t *)field = (uint16_t)number;
	else if (width == sizeof(uint32_t))
		*(uint32_t *)field = (uint32_t)number;
	else
		*(uint64_t *)field = number;
}

static uint64_t stored(const void *field, size_t width)
{
	if (width == sizeof(uint16_t))
		return *(const uint16_t *)field;
	if (width == sizeof(uint32_t))
		return *(const uint32_t *)field;
	return *(const uint64_t *)field;
}

static const char *format_integer(uint64_t number, char text[UNITS_TEXT])
{
	snprintf(text, UNITS_TEXT, "%llu", (unsigned long long)number);
	return text;
}

static int read_number(const struct value_scope *scope, const char *text, void *field)
{
	const struct schema_key *key = scope->key;
	const char *(*format)(uint64_t, char *) = key->type->format;
	char low[UNITS_TEXT], high[UNITS_TEXT];
	uint64_t number;
	const char *why;

	if (key->type->parse(text, &number, &why))
		return value_fail(scope, "%s", why);
	if (!format)
		format = format_integer;
	if (number < key->min || number > key->max)
		return key->min
			       ? value_fail(scope, "it must be %s to %s", format(key->min, low),
					    format(key->max, high))
			       : value_fail(scope, "it must be at most %s", format(key->max, high));
	if (key->step && number % key->step)
		return value_fail(scope, "it must be a multiple of %s", format(key->step, low));
	store(field, key->width, number);
	return 0;
}

static json_t *write_number(const struct value_scope *scope, const void *field)
{
	uint64_t number = stored(field, scope->key->width);
	char text[UNITS_TEXT];

	if (!number && !scope->key->fallback)
		return NULL;
	if (!scope->key->type->format)
		return json_integer((json_int_t)number);
	return json_string(scope->key->type->format(number, text));
}

#define SIZES "(B|KiB|MiB|GiB|kB|MB|GB)?"

const struct value_type value_count = {
	.name = "number",
	.integer = true,
	.read = read_number,
	.write = write_number,
	.parse = units_parse_count,
};

const struct value_type value_mark = {
	.name = "mark",
	.integer = true,
	.read = read_number,
	.write = write_number,
	.parse = units_parse_mark,
};

const struct value_type value_size = {
	.name = "size",
	.pattern = "[0-9]+" SIZES,
	.integer = true,
	.read = read_number,
	.write = write_number,
	.parse = units_parse_bytes,
	.format = units_format_bytes,
};

const struct value_type value_time = {
	.name = "time",
	.pattern = "[0-9]+(ms|s|m|h)|0",
	.read = read_number,
	.write = write_number,
	.parse = units_parse_duration,
	.format = units_format_duration,
};

const struct value_type value_percent = {
	.name = "percentage",
	.pattern = "[0-9]+%",
	.read = read_number,
	.write = write_number,
	.parse = units_parse_percent,
	.format = units_format_percent,
};

const struct value_type value_rate = {
	.name = "rate",
	.pattern = "[0-9]+(/s)?",
	.integer = true,
	.read = read_number,
	.write = write_number,
	.parse = units_parse_rate,
	.format = units_format_rate,
};

const struct value_type value_bandwidth = {
	.name = "bandwidth",
	.pattern = "[0-9]+(B|KiB|MiB|GiB|kB|MB|GB|kbit|Mbit|Gbit)?(/s)?",
	.integer = true,
	.read = read_number,
	.write = write_number,
	.parse = units_parse_bandwidth,
	.format = units_format_bandwidth,
};

/* ---- Switches and choices ----------------------------------------------------------------- */

static int read_bool(const struct value_scope *scope, const char *text, void *field)
{
	if (strcmp(text, "true") && strcmp(text, "false"))
		return value_fail(scope, "it is neither true nor false; write one of them");
	*(bool *)field = *text == 't';
	return 0;
}

static json_t *write_bool(const struct value_scope *scope, const void *field)
{
	(void)scope;
	return json_boolean(*(const bool *)field);
}

const struct value_type value_bool = {
	.name = "boolean",
	.boolean = true,
	.read = read_bool,
	.write = write_bool,
};

const char *value_choice_name(const struct schema_choice *choices, int value)
{
	for (; choices->name; choices++)
		if (choices->value == value)
			return choices->name;
	return NULL;
}

static const struct schema_choice *find_choice(const struct value_scope *scope, const char *text)
{
	const char *names[CHOICES_MAX];
	size_t count = 0;

	for (const struct schema_choice *choice = scope->key->choices; choice->name; choice++) {
		if (!strcmp(choice->name, text))
			return choice;
		names[count++] = choice->name;
	}
	value_unknown(scope, text, "there is no", names, count);
	return NULL;
}

static int read_choice(const struct value_scope *scope, const char *text, void *field)
{
	const struct schema_choice *choice = find_choice(scope, text);

	if (!choice)
		return -EINVAL;
	*(int *)field = choice->value;
	return 0;
}

static json_t *write_choice(const struct value_scope *scope, const void *field)
{
	const char *name = value_choice_name(scope->key->choices, *(const int *)field);

	return name ? json_string(name) : NULL;
}

const struct value_type value_choice = {
	.name = "choice",
	.read = read_choice,
	.write = write_choice,
};

static int read_true(const struct value_scope *scope, const char *text, void *field)
{
	if (strcmp(text, "true"))
		return value_fail(scope, "it can only be true; leave the key out otherwise");
	*(int *)field = scope->key->choices->value;
	return 0;
}

static json_t *write_true(const struct value_scope *scope, const void *field)
{
	return *(const int *)field == scope->key->choices->value ? json_true() : NULL;
}

const struct value_type value_true = {
	.name = "true",
	.read = read_true,
	.write = write_true,
};

static int read_choices(const struct value_scope *scope, const char *text, void *field)
{
	const struct schema_choice *choice = find_choice(scope, text);

	if (!choice)
		return -EINVAL;
	*(unsigned int *)field |= (unsigned int)choice->value;
	return 0;
}

static json_t *write_choices(const struct value_scope *scope, const void *field)
{
	unsigned int chosen = *(const unsigned int *)field;
	json_t *list = chosen ? json_array() : NULL;

	for (const struct schema_choice *choice = scope->key->choices; choice->name; choice++)
		if (chosen & (unsigned int)choice->value)
			json_array_append_new(list, json_string(choice->name));
	return list;
}

const struct value_type value_choices = {
	.name = "choice",
	.list = true,
	.read = read_choices,
	.write = write_choices,
};

/* ---- References --------------------------------------------------------------------------- */

static int read_upstream(const struct value_scope *scope, const char *text, void *field)
{
	const struct config *config = scope->config;
	const char *names[SCHEMA_UPSTREAMS_MAX];
	size_t count = 0;
	bool nameless = false;

	for (unsigned int i = 0; i < config->upstream_count; i++) {
		const char *name = config->upstreams[i].name;

		if (name && !strcmp(name, text)) {
			*(int *)field = (int)i;
			return 0;
		}
		if (name)
			names[count++] = name;
		else
			nameless = true;
	}
	/* An upstream whose name could not be read has its own error. */
	if (nameless)
		return 0;
	return value_unknown(scope, text, "no upstream is called", names, count);
}

static json_t *write_upstream(const struct value_scope *scope, const void *field)
{
	int index = *(const int *)field;

	return index == CONFIG_NONE ? NULL : json_string(scope->config->upstreams[index].name);
}

const struct value_type value_upstream = {
	.name = "upstream",
	.read = read_upstream,
	.write = write_upstream,
};
