/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CLIENT_HELLO_H
#define PROXYD_CLIENT_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "intake/inspect.h"
#include "intake/parse.h"

/* The record type that a ClientHello comes in, hence a TLS stream's first byte (RFC 8446, 5.1). */
#define CLIENT_HELLO_FIRST_BYTE 22

/*
 * Read a ClientHello (RFC 8446, 4.1.2, and TLS 1.0 to 1.2 before it) from the records that carry
 * it, one or many. All its lengths must agree. Sets out->protocol as soon as it is known to be a
 * ClientHello, SNI and ALPN when they have been read; what was set stands after PARSE_MORE, and
 * means nothing after PARSE_BAD. A server name that is no name (host_name_normalise()) is none; an
 * encrypted one stays hidden behind the outer ClientHello's. A protocol that finds no more room in
 * out->alpn is left out.
 */
enum parse_result client_hello_parse(const uint8_t *bytes, size_t size, struct inspected *out);

#endif
