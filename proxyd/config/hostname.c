// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/hostname.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "config/address.h"
#include "config/units.h"

#define LABEL_MAX 63 /* RFC 1035, 2.3.4 */
#define DIGITS    "0123456789"
#define LETTERS   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static int fail(const char **why, const char *reason)
{
	*why = reason;
	return -EINVAL;
}

static bool is_label(const char *text, size_t length)
{
	return length >= 1 && length <= LABEL_MAX && text[0] != '-' && text[length - 1] != '-' &&
	       strspn(text, LETTERS DIGITS "-_") >= length;
}

int hostname_check(const char *text, const char **why)
{
	const char *label = text;

	for (const char *at = text; *at; at++)
		if ((unsigned char)*at >= 0x80)
			return fail(why, "it is not ASCII; write the name as DNS has it (xn--...)");
	if (strlen(text) > HOSTNAME_MAX)
		return fail(why, "it is too long for a host name (253 characters)");
	for (;;) {
		size_t length = strcspn(label, ".");

		if (!is_label(label, length))
			return fail(why, "it is no host name, as in backend.example.org");
		if (!label[length] || !label[length + 1]) {
			if (strspn(label, DIGITS) >= length)
				return fail(why, "it is neither an IP address nor a host name");
			return 0;
		}
		label += length + 1;
	}
}

int hostname_check_pattern(const char *text, const char **why)
{
	const char *name = strncmp(text, "*.", 2) ? text : text + 2;

	if (!strcmp(text, "*"))
		return 0;
	if (strchr(name, '*'))
		return fail(why,
			    "'*' stands for one label only, at the start, as in *.example.org");
	return hostname_check(name, why);
}

int hostname_parse_port(const char *text, char *host, uint16_t *port, const char **why)
{
	const char *colon = strchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	uint64_t number;

	if (!colon)
		return fail(why, "a port must follow, as in backend.example.org:8080");
	if (length > HOSTNAME_MAX + 1)
		return fail(why, "it is too long for a host name (253 characters)");
	memcpy(host, text, length);
	host[length] = '\0';
	if (hostname_check(host, why))
		return -EINVAL;
	if (units_parse_count(colon + 1, &number, why))
		return fail(why, "the port is not a number");
	if (number < 1 || number > 65535)
		return fail(why, "the port is not between 1 and 65535");
	*port = (uint16_t)number;
	return 0;
}
