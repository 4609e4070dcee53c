// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/destination.h"

#include <string.h>

/* linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h cannot be had beside netinet/in.h. */
#define ORIGINAL_DESTINATION 80

#include "intake/interception.h"
#include "policy/cidr.h"

void destination_of(int fd, const struct interception *interception, struct address *out)
{
	if (interception && interception_destination(interception, fd, out))
		return;
	*out = (struct address){.length = sizeof(out->ipv6)};
	if (!getsockopt(fd, SOL_IP, ORIGINAL_DESTINATION, &out->any, &out->length))
		return;
	out->length = sizeof(out->ipv6);
	if (!getsockopt(fd, SOL_IPV6, ORIGINAL_DESTINATION, &out->any, &out->length))
		return;
	out->length = sizeof(out->ipv6);
	if (getsockname(fd, &out->any, &out->length))
		out->length = 0;
}

bool destination_is_own(const struct address *destination, int fd)
{
	struct address local = {.length = sizeof(local.ipv6)};
	uint8_t own[16], there[16];

	if (!destination->length || getsockname(fd, &local.any, &local.length))
		return true;
	cidr_address_bytes(&local, own);
	cidr_address_bytes(destination, there);
	/* sin_port and sin6_port are at the same place. */
	return !memcmp(own, there, sizeof(own)) &&
	       local.ipv4.sin_port == destination->ipv4.sin_port;
}
