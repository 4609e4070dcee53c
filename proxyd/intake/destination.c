// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/destination.h"

/* linux/netfilter_ipv4.h and netfilter_ipv6/ip6_tables.h cannot be had beside netinet/in.h. */
#define ORIGINAL_DESTINATION 80

#include "intake/interception.h"

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

/* The local address is the destination itself, so that cannot tell. */
static bool is_at(const struct address *destination, const struct address *listener)
{
	/* sin_port and sin6_port are at the same place. */
	return address_is_any(listener) ? destination->ipv4.sin_port == listener->ipv4.sin_port
					: address_equal(destination, listener);
}

bool destination_is_own(const struct address *destination, int fd,
			const struct config_listener *listener)
{
	struct address local = {.length = sizeof(local.ipv6)};

	if (!destination->length || getsockname(fd, &local.any, &local.length))
		return true;
	return listener->intercept.mode >= INTERCEPT_TPROXY ? is_at(destination, &listener->address)
							    : address_equal(destination, &local);
}
