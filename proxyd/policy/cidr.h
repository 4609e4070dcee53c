/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CIDR_H
#define PROXYD_CIDR_H

#include <stdbool.h>
#include <stdint.h>

#include "config/address.h"

/* A range of addresses. IPv4 is mapped into IPv6 (RFC 4291, 2.5.5.2), its prefix counted from
 * there. */
struct cidr {
	uint8_t bytes[16];
	uint8_t prefix; /* bits, 0 to 128 */
};

struct cidr_list {
	struct cidr *items;
	unsigned int count;
};

/*
 * Parse "10.0.0.0/8", "2001:db8::/32", or an address alone, which stands for itself. Bits set
 * beyond the prefix are refused: they are a typing error more often than not. Returns 0, or -EINVAL
 * and in *why what is wrong, as part of a sentence.
 */
int cidr_parse(const char *text, struct cidr *out, const char **why);

/* The longest IPv6 address, "/128", and the end. */
#define CIDR_TEXT 56

/* Write the range as cidr_parse() takes it, always with its prefix. Returns `text`. */
const char *cidr_format(const struct cidr *cidr, char text[CIDR_TEXT]);

/* The same for that part of it which is of one family; NULL: there is none. */
const char *cidr_of_family(const struct cidr *cidr, bool ipv6, char text[CIDR_TEXT]);

/* Whether every address of `inner` is in `outer`. */
bool cidr_holds(const struct cidr *outer, const struct cidr *inner);

/* Whether the address is in one of the ranges; its port does not matter. An empty list has none. */
bool cidr_list_holds(const struct cidr_list *list, const struct address *address);

/* The 16 bytes of an address, IPv4 mapped. */
void cidr_address_bytes(const struct address *address, uint8_t bytes[16]);

#endif
