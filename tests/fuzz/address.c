// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* address_parse() on anything: what it takes, address_format() writes so that it takes it again. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
	if (!condition)
		abort();
}

/* Scope and all; the bytes behind the address proper are zero. */
static int same(const struct address *one, const struct address *other)
{
	return one->length == other->length && !memcmp(one, other, sizeof(*one));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char formatted[ADDRESS_TEXT];
	struct address address = {0}, again = {0};
	const char *why = NULL;
	int err;

	require(text != NULL);
	memcpy(text, data, size);
	text[size] = '\0';
	err = address_parse(text, &address, &why);
	require(!err || (err == -EINVAL && why && *why));
	if (!err) {
		require(address.any.sa_family == AF_INET || address.any.sa_family == AF_INET6);
		require(address.ipv4.sin_port != 0);
		address_format(&address, formatted);
		require(!address_parse(formatted, &again, &why));
		require(same(&address, &again));
	}
	free(text);
	return 0;
}
