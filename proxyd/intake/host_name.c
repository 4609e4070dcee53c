// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/host_name.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define LABEL_MAX 63

static void lower(const uint8_t *bytes, size_t size, char *out)
{
	for (size_t i = 0; i < size; i++) {
		bool upper = bytes[i] >= 'A' && bytes[i] <= 'Z';

		out[i] = (char)(upper ? bytes[i] | 0x20 : bytes[i]);
	}
	out[size] = '\0';
}

/* Of any locale: isalnum() may take more. */
static bool in_label(uint8_t byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9') || byte == '-' || byte == '_';
}

static bool is_name(const uint8_t *bytes, size_t size)
{
	size_t label = 0;

	for (size_t i = 0; i < size; i++) {
		if (in_label(bytes[i]) && label < LABEL_MAX)
			label++;
		else if (bytes[i] == '.' && label)
			label = 0;
		else
			return false;
	}
	return label > 0;
}

bool host_name_normalise(const uint8_t *bytes, size_t size, char out[INSPECT_NAME_MAX + 1])
{
	out[0] = '\0';
	if (size && bytes[size - 1] == '.')
		size--;
	if (size > INSPECT_NAME_MAX || !is_name(bytes, size))
		return false;
	lower(bytes, size, out);
	return true;
}

/* "[IPv6]" alone; an address has many spellings, inet_ntop() writes that of RFC 5952. */
static bool normalise_literal(const uint8_t *bytes, size_t size, char out[INSPECT_NAME_MAX + 1])
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (size < 2 || size - 2 >= sizeof(text))
		return false;
	memcpy(text, bytes + 1, size - 2);
	text[size - 2] = '\0';
	if (strlen(text) != size - 2 || inet_pton(AF_INET6, text, &address) != 1)
		return false;
	inet_ntop(AF_INET6, &address, text, sizeof(text));
	snprintf(out, INSPECT_NAME_MAX + 1, "[%s]", text);
	return true;
}

bool host_name_of_authority(const uint8_t *bytes, size_t size, char out[INSPECT_NAME_MAX + 1])
{
	bool literal = size && bytes[0] == '[';
	const uint8_t *bracket = literal ? memchr(bytes, ']', size) : NULL;
	const uint8_t *end;

	out[0] = '\0';
	if (literal && !bracket)
		return false;
	end = literal ? bracket + 1 : memchr(bytes, ':', size);
	if (!end)
		end = bytes + size;
	if (end < bytes + size && *end != ':')
		return false;
	for (const uint8_t *digit = end + 1; digit < bytes + size; digit++) {
		if (*digit < '0' || *digit > '9')
			return false;
	}
	size = (size_t)(end - bytes);
	return literal ? normalise_literal(bytes, size, out)
		       : host_name_normalise(bytes, size, out);
}
