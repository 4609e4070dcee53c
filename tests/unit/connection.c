// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "unit/connection.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/address.h"

const char *const connection_names[CONNECTION_KINDS] = {
	[CONNECTION_IPV4] = "IPv4",
	[CONNECTION_IPV6] = "IPv6",
	[CONNECTION_MAPPED] = "IPv4 accepted as IPv6",
	[CONNECTION_MAPPED_CLIENT] = "IPv4 connected as IPv6",
};

/* How a side names loopback: its address family and its address. */
struct naming {
	int family;
	const char *ip;
};

static const struct naming listeners[CONNECTION_KINDS] = {
	[CONNECTION_IPV4] = {AF_INET, "127.0.0.1"},
	[CONNECTION_IPV6] = {AF_INET6, "::1"},
	[CONNECTION_MAPPED] = {AF_INET6, "::"},
	[CONNECTION_MAPPED_CLIENT] = {AF_INET, "127.0.0.1"},
};

static const struct naming destinations[CONNECTION_KINDS] = {
	[CONNECTION_IPV4] = {AF_INET, "127.0.0.1"},
	[CONNECTION_IPV6] = {AF_INET6, "::1"},
	[CONNECTION_MAPPED] = {AF_INET, "127.0.0.1"},
	[CONNECTION_MAPPED_CLIENT] = {AF_INET6, "::ffff:127.0.0.1"},
};

static struct address address_of(const struct naming *naming, uint16_t port)
{
	struct address address = {.length = sizeof(address.ipv4)};
	void *ip = &address.ipv4.sin_addr;

	if (naming->family == AF_INET6) {
		address.length = sizeof(address.ipv6);
		ip = &address.ipv6.sin6_addr;
	}
	cr_assert_eq(inet_pton(naming->family, naming->ip, ip), 1);
	address.any.sa_family = (sa_family_t)naming->family;
	address.ipv4.sin_port = htons(port);
	return address;
}

void connection_open(enum connection_kind kind, struct connection *connection,
		     void (*prepare)(int fd, void *user), void *user)
{
	struct address address = address_of(&listeners[kind], 0);

	connection->listener = socket(address.any.sa_family, SOCK_STREAM, IPPROTO_TCP);
	if (prepare)
		prepare(connection->listener, user);
	cr_assert_eq(bind(connection->listener, &address.any, address.length), 0, "%s: %s",
		     connection_names[kind], strerror(errno));
	cr_assert_eq(listen(connection->listener, 1), 0);
	cr_assert_eq(getsockname(connection->listener, &address.any, &address.length), 0);
	connection->port = ntohs(address.ipv4.sin_port);

	address = address_of(&destinations[kind], connection->port);
	connection->client = socket(address.any.sa_family, SOCK_STREAM, IPPROTO_TCP);
	if (prepare)
		prepare(connection->client, user);
	cr_assert_eq(connect(connection->client, &address.any, address.length), 0, "%s: %s",
		     connection_names[kind], strerror(errno));
	connection->server = accept(connection->listener, NULL, NULL);
	cr_assert_geq(connection->server, 0);
}

void connection_close(struct connection *connection)
{
	close(connection->client);
	close(connection->server);
	close(connection->listener);
}
