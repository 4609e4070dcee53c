/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_INSPECT_H
#define PROXYD_INSPECT_H

/*
 * What a client's first bytes tell, for routes that ask: the protocol, a ClientHello's SNI and ALPN
 * (RFC 8446, 4.1.2; RFC 6066, 3; RFC 7301), the Host of a first HTTP/1 request (RFC 9112). Bytes
 * are only looked at; the caller peeks them. Pure and bounded: no allocation, no I/O.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

#define INSPECT_NAME_MAX 255 /* RFC 1035, 2.3.4 */
#define INSPECT_ALPN_MAX 256

struct inspected {
	enum protocol protocol;
	char sni[INSPECT_NAME_MAX + 1];  /* lower case; "" none */
	char host[INSPECT_NAME_MAX + 1]; /* lower case, without port; "" none; or "[IPv6]" */
	/* As in the extension: each name behind its length. */
	uint8_t alpn[INSPECT_ALPN_MAX];
	uint16_t alpn_size;
};

enum inspect_result {
	INSPECT_MORE, /* more bytes are needed to tell */
	INSPECT_DONE,
};

/*
 * Look at the first `size` bytes of a stream, always from its first one. `final` says that no
 * more will come (end, time-out, limit): then the answer is INSPECT_DONE with what could be told.
 * What is malformed is PROTOCOL_OTHER; a TLS or HTTP head whose rest never came keeps its protocol.
 */
enum inspect_result inspect(const uint8_t *bytes, size_t size, bool final, struct inspected *out);

/* Whether the client offered this ALPN protocol. */
bool inspected_offers(const struct inspected *inspected, const char *protocol);

#endif
