/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CONNECTIONS_H
#define PROXYD_CONNECTIONS_H

/*
 * The flows of a running proxy, one by one. They are told in pieces, so that neither a worker nor
 * the main thread is held up by many: a request's "next" is what the answer to the one before had.
 * A flow that lives all the while is told once.
 */

#include <jansson.h>
#include <stdbool.h>

#include "flow/account.h"
#include "proxy.h"

/* The answer to such a request (requests.h): a new reference; NULL without memory. */
json_t *connections_json(const struct proxy *proxy, const json_t *request);

/* One flow. A new reference, or NULL. */
json_t *connection_json(const struct account *account);

/* null for one of length 0. */
json_t *connection_address_json(const struct address *address);

/* Bytes by lane, in all and for each direction, as everywhere where they are told. */
json_t *connection_bytes_json(const uint64_t bytes[2][ACCOUNT_LANES]);

/* Prints what the answers have, for people or as JSON, without holding all of them. */
struct connections_printer {
	bool json;
	bool begun;
	json_t *held; /* NULL: none */
	size_t widths[16];
};

void connections_print(struct connections_printer *printer, const json_t *answer);
void connections_print_end(struct connections_printer *printer);

#endif
