// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char **why, const char *reason)
{
	*why = reason;
	return -EINVAL;
}

static int parse_port(const char *text, const char **why)
{
	char *end;
	long port;

	if (*text < '0' || *text > '9')
		return fail(why, "the port is not a number");
	errno = 0;
	port = strtol(text, &end, 10);
	if (*end)
		return fail(why, "the port is not a number");
	if (errno || port < 1 || port > 65535)
		return fail(why, "the port is not between 1 and 65535");
	return 0;
}

/* Split "[host]:port" or "host:port" in place of `text`. Returns 0 or -EINVAL. */
static int split(char *text, char **host, char **port, const char **why)
{
	char *colon;

	if (*text == '[') {
		char *bracket = strchr(text, ']');

		if (!bracket)
			return fail(why, "the bracket is not closed");
		if (bracket[1] != ':')
			return fail(why, "a port must follow, as in [::1]:9000");
		*bracket = '\0';
		*host = text + 1;
		*port = bracket + 2;
		return strchr(*host, ':') ? 0 : fail(why, "only IPv6 stands in brackets");
	}
	colon = strchr(text, ':');
	if (!colon)
		return fail(why, "a port must follow, as in 127.0.0.1:9000");
	if (strchr(colon + 1, ':'))
		return fail(why, "an IPv6 address stands in brackets, as in [::1]:9000");
	*colon = '\0';
	*host = text;
	*port = colon + 1;
	return 0;
}

int address_parse(const char *text, struct address *out, const char **why)
{
	const struct addrinfo hints = {
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	struct addrinfo *found;
	char copy[ADDRESS_TEXT];
	char *host, *port;
	int err;

	if (strlen(text) >= sizeof(copy))
		return fail(why, "it is too long");
	strcpy(copy, text);
	err = split(copy, &host, &port, why);
	if (!err)
		err = parse_port(port, why);
	if (err)
		return err;
	/* getaddrinfo also takes "127.1" and "017.0.0.1"; inet_pton does not. */
	if (!strchr(host, ':') && inet_pton(AF_INET, host, &(struct in_addr){0}) != 1)
		return fail(why, host[strspn(host, "0123456789.")]
					 ? "the host is no IP address (names are not resolved)"
					 : "the host is no IP address");
	if (getaddrinfo(host, port, &hints, &found))
		return fail(why, "the host is no IP address");
	memset(out, 0, sizeof(*out));
	memcpy(&out->any, found->ai_addr, found->ai_addrlen);
	out->length = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

const char *address_format(const struct address *address, char text[ADDRESS_TEXT])
{
	char host[64], port[8];

	if (getnameinfo(&address->any, address->length, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV))
		snprintf(text, ADDRESS_TEXT, "(unknown)");
	else
		snprintf(text, ADDRESS_TEXT,
			 address->any.sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	return text;
}

/* The address as IPv6 (RFC 4291, 2.5.5.2). */
static struct sockaddr_in6 as_ipv6(const struct address *address)
{
	struct sockaddr_in6 mapped = {.sin6_port = address->ipv4.sin_port};

	if (address->any.sa_family == AF_INET6)
		return address->ipv6;
	memset(&mapped.sin6_addr.s6_addr[10], 0xff, 2);
	memcpy(&mapped.sin6_addr.s6_addr[12], &address->ipv4.sin_addr, 4);
	return mapped;
}

bool address_equal(const struct address *one, const struct address *other)
{
	struct sockaddr_in6 a = as_ipv6(one), b = as_ipv6(other);

	return a.sin6_port == b.sin6_port && a.sin6_scope_id == b.sin6_scope_id &&
	       !memcmp(&a.sin6_addr, &b.sin6_addr, sizeof(a.sin6_addr));
}

bool address_is_any(const struct address *address)
{
	struct sockaddr_in6 ipv6 = as_ipv6(address);

	return IN6_IS_ADDR_UNSPECIFIED(&ipv6.sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr) && !ipv6.sin6_addr.s6_addr32[3]);
}

bool address_is_loopback(const struct address *address)
{
	struct sockaddr_in6 ipv6 = as_ipv6(address);

	return IN6_IS_ADDR_LOOPBACK(&ipv6.sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr) && ipv6.sin6_addr.s6_addr[12] == 127);
}
