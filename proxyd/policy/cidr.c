// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/cidr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define IPV4_BITS   32
#define IPV6_BITS   128
#define MAPPED_BITS (IPV6_BITS - IPV4_BITS)

static void map_ipv4(const struct in_addr *ipv4, uint8_t bytes[16])
{
	memset(bytes, 0, 10);
	memset(bytes + 10, 0xff, 2);
	memcpy(bytes + 12, ipv4, sizeof(*ipv4));
}

static int fail(const char **why, const char *reason)
{
	*why = reason;
	return -EINVAL;
}

/* The digits behind the slash, NULL for none: up to `bits`. Returns -1 for anything else. */
static int read_prefix(const char *digits, int bits)
{
	int prefix = 0;

	if (!digits)
		return bits;
	if (strlen(digits) > 3 || !*digits || strspn(digits, "0123456789") != strlen(digits))
		return -1;
	for (; *digits; digits++)
		prefix = prefix * 10 + (*digits - '0');
	return prefix <= bits ? prefix : -1;
}

static bool ends_at(const uint8_t bytes[16], unsigned int prefix)
{
	for (unsigned int bit = prefix; bit < IPV6_BITS; bit++)
		if (bytes[bit / 8] & (0x80 >> bit % 8))
			return false;
	return true;
}

int cidr_parse(const char *text, struct cidr *out, const char **why)
{
	char host[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t length = slash ? (size_t)(slash - text) : strlen(text);
	bool is_ipv4 = !memchr(text, ':', length);
	struct cidr cidr = {0};
	struct in_addr ipv4;
	int prefix;

	if (length >= sizeof(host))
		return fail(why, "it is no IP address or range, as in 10.0.0.0/8 or 2001:db8::/32");
	memcpy(host, text, length);
	host[length] = '\0';
	if (is_ipv4 ? inet_pton(AF_INET, host, &ipv4) != 1
		    : inet_pton(AF_INET6, host, cidr.bytes) != 1)
		return fail(why, "it is no IP address or range, as in 10.0.0.0/8 or 2001:db8::/32");
	if (is_ipv4)
		map_ipv4(&ipv4, cidr.bytes);
	prefix = read_prefix(slash ? slash + 1 : NULL, is_ipv4 ? IPV4_BITS : IPV6_BITS);
	if (prefix < 0)
		return fail(why, is_ipv4 ? "the prefix is not 0 to 32, as in 10.0.0.0/8"
					 : "the prefix is not 0 to 128, as in 2001:db8::/32");
	cidr.prefix = (uint8_t)(is_ipv4 ? MAPPED_BITS + prefix : prefix);
	if (!ends_at(cidr.bytes, cidr.prefix))
		return fail(why, "bits are set beyond the prefix; clear them, or lengthen it");
	*out = cidr;
	return 0;
}

const char *cidr_format(const struct cidr *cidr, char text[CIDR_TEXT])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	bool is_ipv4 = cidr->prefix >= MAPPED_BITS && !memcmp(cidr->bytes, mapped, sizeof(mapped));
	char host[INET6_ADDRSTRLEN] = "";

	if (is_ipv4)
		inet_ntop(AF_INET, cidr->bytes + sizeof(mapped), host, sizeof(host));
	else
		inet_ntop(AF_INET6, cidr->bytes, host, sizeof(host));
	snprintf(text, CIDR_TEXT, "%s/%d", host, cidr->prefix - (is_ipv4 ? MAPPED_BITS : 0));
	return text;
}

static bool shares(const uint8_t one[16], const uint8_t other[16], unsigned int bits)
{
	unsigned int rest = bits % 8;

	if (memcmp(one, other, bits / 8))
		return false;
	return !rest || !((one[bits / 8] ^ other[bits / 8]) >> (8 - rest));
}

const char *cidr_of_family(const struct cidr *cidr, bool ipv6, char text[CIDR_TEXT])
{
	static const struct cidr ipv4 = {{[10] = 0xff, [11] = 0xff}, 96};

	if (cidr_holds(&ipv4, cidr))
		return ipv6 ? NULL : cidr_format(cidr, text);
	if (ipv6)
		return cidr_format(cidr, text);
	return cidr_holds(cidr, &ipv4) ? strcpy(text, "0.0.0.0/0") : NULL;
}

bool cidr_holds(const struct cidr *outer, const struct cidr *inner)
{
	return outer->prefix <= inner->prefix && shares(outer->bytes, inner->bytes, outer->prefix);
}

bool cidr_list_holds(const struct cidr_list *list, const struct address *address)
{
	uint8_t bytes[16];

	cidr_address_bytes(address, bytes);
	for (unsigned int i = 0; i < list->count; i++)
		if (shares(list->items[i].bytes, bytes, list->items[i].prefix))
			return true;
	return false;
}

void cidr_address_bytes(const struct address *address, uint8_t bytes[16])
{
	if (address->any.sa_family == AF_INET6)
		memcpy(bytes, &address->ipv6.sin6_addr, 16);
	else
		map_ipv4(&address->ipv4.sin_addr, bytes);
}
