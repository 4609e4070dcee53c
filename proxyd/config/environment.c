// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/environment.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/suggest.h"

#define NAME_MAX 128

struct expansion {
	FILE *out;
	size_t size;
	char *why;
	size_t why_size;
};

static int fail(struct expansion *expansion, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int fail(struct expansion *expansion, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(expansion->why, expansion->why_size, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static int append(struct expansion *expansion, const char *text, size_t length)
{
	expansion->size += length;
	if (expansion->size > ENVIRONMENT_TEXT_MAX)
		return fail(expansion, "with its variables it is longer than 64 KiB");
	return fwrite(text, 1, length, expansion->out) == length ? 0 : -ENOMEM;
}

static bool is_name(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
				      "0123456789";

	return *name && !strchr("0123456789", *name) && strspn(name, letters) == strlen(name);
}

static bool is_text(const char *value)
{
	size_t left = strlen(value), length;

	for (; left; value += length, left -= length) {
		length = utf8_length((const unsigned char *)value, left);
		if (!length)
			return false;
	}
	return true;
}

/* `inside`: what stands between the braces. */
static int append_variable(struct expansion *expansion, const char *inside, size_t length)
{
	const char *fallback = strstr(inside, ":-");
	char name[NAME_MAX], shown[EXCERPT];
	const char *value;
	size_t name_length = length;

	if (fallback && fallback < inside + length)
		name_length = (size_t)(fallback - inside);
	else
		fallback = NULL;
	snprintf(name, sizeof(name), "%.*s", (int)(name_length < NAME_MAX ? name_length : NAME_MAX),
		 inside);
	if (name_length >= NAME_MAX || !is_name(name))
		return fail(expansion,
			    "'%s' is no name of a variable; write ${NAME} or ${NAME:-default}, "
			    "and $${ for ${ itself",
			    excerpt(name, shown));
	value = getenv(name);
	if (fallback && (!value || !*value))
		return append(expansion, fallback + 2, length - name_length - 2);
	if (!value)
		return fail(
			expansion,
			"the environment variable %s is not set; set it, or write ${%s:-default}",
			name, name);
	if (!is_text(value))
		return fail(expansion, "the environment variable %s is not UTF-8; set it again",
			    name);
	return append(expansion, value, strlen(value));
}

static int expand(struct expansion *expansion, const char *text)
{
	int err = 0;

	while (!err && *text) {
		const char *dollar = strstr(text, "${");
		const char *end = dollar ? strchr(dollar, '}') : NULL;

		if (!dollar)
			return append(expansion, text, strlen(text));
		err = append(expansion, text, (size_t)(dollar - text));
		if (!err && dollar > text && dollar[-1] == '$') {
			/* The first dollar is out already. */
			err = append(expansion, "{", 1);
			text = dollar + 2;
			continue;
		}
		if (!err && !end)
			return fail(expansion, "${ is not closed; write ${NAME}, or $${ for ${ "
					       "itself");
		if (!err)
			err = append_variable(expansion, dollar + 2, (size_t)(end - dollar - 2));
		text = end + 1;
	}
	return err;
}

int environment_expand(const char *text, char **out, char *why, size_t why_size)
{
	struct expansion expansion = {.why = why, .why_size = why_size};
	char *expanded = NULL;
	size_t size;
	int err;

	expansion.out = open_memstream(&expanded, &size);
	if (!expansion.out)
		return -ENOMEM;
	err = expand(&expansion, text);
	if (fclose(expansion.out) && !err)
		err = -ENOMEM;
	if (err)
		free(expanded);
	else
		*out = expanded;
	return err;
}

char *environment_escape(const char *text)
{
	char *escaped = malloc(2 * strlen(text) + 1), *to = escaped;

	if (!escaped)
		return NULL;
	for (; *text; text++) {
		if (!strncmp(text, "${", 2))
			*to++ = '$';
		*to++ = *text;
	}
	*to = '\0';
	return escaped;
}
