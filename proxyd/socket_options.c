// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "socket_options.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "policy/cidr.h"

/* Since Linux 4.2 (netinet/in.h has it only by chance of the C library's age). */
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static int set(int fd, int level, int name, uint64_t value)
{
	int number = value > INT_MAX ? INT_MAX : (int)value;

	return setsockopt(fd, level, name, &number, sizeof(number)) ? -errno : 0;
}

/* Half, since the kernel doubles it (socket(7)); the limits of net.core do not bind whoever may. */
static int set_buffer(int fd, int forced, int plain, uint64_t bytes)
{
	if (!bytes || !set(fd, SOL_SOCKET, forced, bytes / 2))
		return 0;
	return set(fd, SOL_SOCKET, plain, bytes / 2);
}

int socket_options_set_receive_buffer(int fd, uint64_t bytes)
{
	return set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, bytes);
}

static uint64_t seconds(uint64_t milliseconds)
{
	return milliseconds ? (milliseconds + 999) / 1000 : 0;
}

static int set_keepalive(int fd, const struct config_tcp *options)
{
	int err = set(fd, SOL_SOCKET, SO_KEEPALIVE, options->keepalive_idle != 0);

	if (!err && options->keepalive_idle)
		err = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds(options->keepalive_idle));
	if (!err && options->keepalive_interval)
		err = set(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds(options->keepalive_interval));
	if (!err && options->keepalive_count)
		err = set(fd, IPPROTO_TCP, TCP_KEEPCNT, options->keepalive_count);
	return err;
}

int socket_options_set(int fd, const struct config_tcp *options, bool fresh)
{
	/* Urgent bytes stay in the stream: the kernel lane moves them in place, so must the relay.
	 */
	int err = set(fd, SOL_SOCKET, SO_OOBINLINE, 1);

	if (!err && (options->nodelay || !fresh))
		err = set(fd, IPPROTO_TCP, TCP_NODELAY, options->nodelay);
	if (!err && (options->keepalive_idle || !fresh))
		err = set_keepalive(fd, options);
	if (!err && (options->user_timeout || !fresh))
		err = set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, options->user_timeout);
	if (!err)
		err = set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, options->send_buffer);
	if (!err)
		err = socket_options_set_receive_buffer(fd, options->receive_buffer);
	if (!err && (options->mark || !fresh))
		err = set(fd, SOL_SOCKET, SO_MARK, options->mark);
	if (!err && options->interface &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options->interface,
		       (socklen_t)strlen(options->interface)))
		err = -errno;
	return err;
}

/* The client's address as one of the family of `to`. */
static int as_family(const struct address *client, const struct address *to, struct address *out)
{
	uint8_t bytes[16];

	*out = *client;
	if (client->length && client->any.sa_family == to->any.sa_family)
		return 0;
	if (client->any.sa_family != AF_INET6 || to->any.sa_family != AF_INET ||
	    !IN6_IS_ADDR_V4MAPPED(&client->ipv6.sin6_addr))
		return -EAFNOSUPPORT;
	cidr_address_bytes(client, bytes);
	*out = (struct address){.length = sizeof(out->ipv4)};
	out->ipv4.sin_family = AF_INET;
	out->ipv4.sin_port = client->ipv6.sin6_port;
	memcpy(&out->ipv4.sin_addr, bytes + 12, sizeof(out->ipv4.sin_addr));
	return 0;
}

static int bind_to(int fd, const struct address *source)
{
	if (!source->ipv4.sin_port) /* IPv6 has it in the same place */
		set(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	return bind(fd, &source->any, source->length) ? -errno : 0;
}

int socket_options_bind(int fd, const struct address *to, const struct config_tcp *options)
{
	const struct address *source = &options->source.address;

	if (options->source.kind != SOURCE_OWN || !source->length ||
	    source->any.sa_family != to->any.sa_family)
		return 0;
	return bind_to(fd, source);
}

int socket_options_bind_client(int fd, const struct address *to, const struct address *client,
			       bool with_port)
{
	struct address source;
	int err = as_family(client, to, &source);

	if (!err)
		err = source.any.sa_family == AF_INET ? set(fd, SOL_IP, IP_TRANSPARENT, 1)
						      : set(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
	/* Connections from that port to others, and what is left of earlier ones, are no hindrance.
	 */
	if (!err && with_port)
		err = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!err && !with_port)
		source.ipv4.sin_port = 0;
	return err ? err : bind_to(fd, &source);
}
