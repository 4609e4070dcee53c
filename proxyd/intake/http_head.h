/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_HTTP_HEAD_H
#define PROXYD_HTTP_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include "intake/inspect.h"
#include "intake/parse.h"

/*
 * Read the head of a first HTTP/1 request (RFC 9112), or what HTTP/2's preface begins with (RFC
 * 9113, 3.4). Sets out->protocol when the request line has been read, for it is its end that tells
 * HTTP, and out->host: of an absolute target or CONNECT the target's, else that of the Host field.
 * What was set stands after PARSE_MORE, and means nothing after PARSE_BAD.
 *
 * A head that servers have to refuse is bad, so that proxyd and a server that is lenient never go
 * by different hosts: two Host fields, a blank before the colon, a folded line, control characters.
 * A host that is none (host_name_of_authority()) is "".
 */
enum parse_result http_head_parse(const uint8_t *bytes, size_t size, struct inspected *out);

#endif
