#pragma once

/* What holds of inspect() on any bytes. */

#include "fuzz/prefixes.h"
#include "intake/host_name.h"
#include "intake/inspect.h"

static inline int same(const struct inspected *one, const struct inspected *other)
{
	return one->protocol == other->protocol && !strcmp(one->sni, other->sni) &&
	       !strcmp(one->host, other->host) && one->alpn_size == other->alpn_size &&
	       !memcmp(one->alpn, other->alpn, one->alpn_size);
}

/* Names are in the form that routes compare, and only where they belong. */
static inline void check_fields(const struct inspected *inspected)
{
	char again[INSPECT_NAME_MAX + 1];
	size_t at = 0;

	require(memchr(inspected->sni, '\0', sizeof(inspected->sni)) != NULL);
	require(memchr(inspected->host, '\0', sizeof(inspected->host)) != NULL);
	host_name_normalise((const uint8_t *)inspected->sni, strlen(inspected->sni), again);
	require(!strcmp(again, inspected->sni));
	host_name_of_authority((const uint8_t *)inspected->host, strlen(inspected->host), again);
	require(!strcmp(again, inspected->host));
	require(inspected->protocol == PROTOCOL_TLS || (!*inspected->sni && !inspected->alpn_size));
	require(inspected->protocol == PROTOCOL_HTTP || !*inspected->host);
	require(inspected->alpn_size <= INSPECT_ALPN_MAX);
	while (at < inspected->alpn_size) {
		require(inspected->alpn[at] > 0);
		at += 1 + (size_t)inspected->alpn[at];
	}
	require(at == inspected->alpn_size);
}

/* The answer to a prefix is that to all that begins so. */
static inline void check_inspection(const uint8_t *bytes, size_t size)
{
	enum inspect_result before = INSPECT_MORE;
	struct inspected first, now, final;

	for (size_t length = 0; length <= size; length = prefix_after(length, bytes, size)) {
		uint8_t *prefix = prefix_copy(bytes, length);
		enum inspect_result result;

		memset(&now, 0x5a, sizeof(now));
		memset(&final, 0xa5, sizeof(final));
		result = inspect(prefix, length, false, &now);
		require(inspect(prefix, length, true, &final) == INSPECT_DONE);
		check_fields(&now);
		require(same(&now, &final));
		require(before == INSPECT_MORE || (result == INSPECT_DONE && same(&now, &first)));
		if (before == INSPECT_MORE)
			first = now;
		before = result;
		free(prefix);
	}
}
