/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ADDRESS_H
#define PROXYD_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	};
	socklen_t length;
};

/* "[" + the longest IPv6 address + "%" + an interface + "]:65535" */
#define ADDRESS_TEXT 80

/*
 * Parse "127.0.0.1:80" or "[::1]:80" (a zone as in "[fe80::1%eth0]:80" is understood). Names are
 * not resolved. Returns 0, or -EINVAL and in *why what is wrong, as part of a sentence.
 */
int address_parse(const char *text, struct address *out, const char **why);

/* Write the address as address_parse() takes it. Returns `text`. */
const char *address_format(const struct address *address, char text[ADDRESS_TEXT]);

/* Whether both name the same address, port and, for IPv6, interface; IPv4 may be mapped into IPv6.
 */
bool address_equal(const struct address *one, const struct address *other);

/* Whether it stands for every address of the host, or is one of the host's own to itself. */
bool address_is_any(const struct address *address);
bool address_is_loopback(const struct address *address);

#endif
