/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PROXY_HEADER_H
#define PROXYD_PROXY_HEADER_H

/*
 * The PROXY protocol (HAProxy's doc/proxy-protocol.txt), versions 1 (a line of text) and 2
 * (binary): who is behind a proxy, told in front of the stream.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/address.h"
#include "intake/parse.h"

/* No larger header is taken. The protocol would allow 65551 bytes, nearly all for TLVs. */
#define PROXY_HEADER_MAX 4096

/* Larger than any header that is written here: version 1 has at most 107 characters. */
#define PROXY_HEADER_WRITTEN_MAX 108

struct proxy_header {
	size_t size; /* of the header: the stream begins behind it */
	/*
	 * Length 0, both: the connection's own addresses hold. So it is with LOCAL (a health
	 * check), UNKNOWN and UNSPEC, and whatever is not TCP over IP.
	 */
	struct address source;
	struct address destination;
};

/*
 * Read the header at the start of a stream. TLVs are skipped. `out` is set with PARSE_DONE alone.
 * The sender is believed: ask only those that may say who a client is.
 */
enum parse_result proxy_header_parse(const uint8_t *bytes, size_t size, struct proxy_header *out);

/*
 * Write a header; `version` is 1 or 2. Where one address is IPv4 and the other IPv6, the first is
 * mapped; where both are mapped, both are written as IPv4. Anything else (length 0) becomes UNKNOWN
 * or UNSPEC. Returns the size.
 */
size_t proxy_header_write(unsigned int version, const struct address *source,
			  const struct address *destination, uint8_t out[PROXY_HEADER_WRITTEN_MAX]);

/* Write the header of a connection that is proxyd's own, a health check: LOCAL, version 2. */
size_t proxy_header_write_local(uint8_t out[PROXY_HEADER_WRITTEN_MAX]);

#endif
