// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/inspect.h"

#include <string.h>

#include "intake/client_hello.h"
#include "intake/http_head.h"

/* RFC 4253, 4.2. A client begins with it; only servers may send other lines before. */
static const char ssh[] = "SSH-";

static enum parse_result parse(const uint8_t *bytes, size_t size, struct inspected *out)
{
	size_t length = strlen(ssh);

	if (!size)
		return PARSE_MORE;
	if (*bytes == CLIENT_HELLO_FIRST_BYTE)
		return client_hello_parse(bytes, size, out);
	if (size >= length && !memcmp(bytes, ssh, length)) {
		out->protocol = PROTOCOL_SSH;
		return PARSE_DONE;
	}
	return http_head_parse(bytes, size, out);
}

enum inspect_result inspect(const uint8_t *bytes, size_t size, bool final, struct inspected *out)
{
	const struct inspected nothing = {.protocol = PROTOCOL_OTHER};
	enum parse_result result;

	*out = nothing;
	result = parse(bytes, size, out);
	/* A target may have told a host before its line told that it is HTTP. */
	if (result == PARSE_BAD || out->protocol == PROTOCOL_OTHER)
		*out = nothing;
	return result == PARSE_MORE && !final ? INSPECT_MORE : INSPECT_DONE;
}

bool inspected_offers(const struct inspected *inspected, const char *protocol)
{
	size_t length = strlen(protocol);

	for (size_t at = 0; at < inspected->alpn_size; at += 1 + inspected->alpn[at]) {
		if (inspected->alpn[at] == length &&
		    !memcmp(inspected->alpn + at + 1, protocol, length))
			return true;
	}
	return false;
}
