// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow/socket_key.h"
#include "unit/connection.h"

Test(key, has_no_padding)
{
	cr_assert_eq(sizeof(struct sl_key), 2 * 16 + 2 * 2 + 4 + 8);
}

/* sock_ops: skc_num, host byte order. */
Test(key, port_of_sock_ops_local)
{
	for (uint32_t port = 0; port <= 65535; port++)
		cr_assert_eq(sl_port_of_sock_ops_local(port), htons((uint16_t)port));
}

/*
 * sock_ops: the 16 bits of skc_dport, which are in network byte order, are the last two bytes of
 * the 32-bit field. So ntohl() of the field is the port on any machine (bpf.h: "Stored in network
 * byte order").
 */
Test(key, port_of_sock_ops_remote)
{
	for (uint32_t port = 0; port <= 65535; port++)
		cr_assert_eq(sl_port_of_sock_ops_remote(htonl(port)), htons((uint16_t)port));
}

Test(key, maps_ipv4_as_inet_pton_does)
{
	static const char *const addresses[] = {"0.0.0.0", "127.0.0.1", "10.200.3.4",
						"255.255.255.255", "1.2.3.4"};

	for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		char text[64] = "::ffff:";
		struct in6_addr expected;
		struct in_addr ipv4;
		__be32 mapped[4];

		cr_assert_eq(inet_pton(AF_INET, addresses[i], &ipv4), 1);
		cr_assert_eq(inet_pton(AF_INET6, strcat(text, addresses[i]), &expected), 1);
		sl_map_ipv4(mapped, ipv4.s_addr);
		cr_expect_arr_eq(mapped, &expected, sizeof(expected), "%s", addresses[i]);
		cr_expect(IN6_IS_ADDR_V4MAPPED((struct in6_addr *)mapped));
	}
}

static void assert_mirrored(const struct sl_key *one, const struct sl_key *other)
{
	cr_expect_arr_eq(one->local_ip, other->remote_ip, sizeof(one->local_ip));
	cr_expect_arr_eq(one->remote_ip, other->local_ip, sizeof(one->local_ip));
	cr_expect_eq(one->local_port, other->remote_port);
	cr_expect_eq(one->remote_port, other->local_port);
	cr_expect_neq(one->cookie, other->cookie);
	cr_expect_neq(one->cookie, 0);
	cr_expect_eq(one->unused, 0);
}

/* An AF_INET socket and the AF_INET6 socket at its other end see the same addresses. */
Test(key, of_both_ends_of_a_connection)
{
	for (enum connection_kind kind = 0; kind < CONNECTION_KINDS; kind++) {
		struct connection connection;
		struct sl_key client, server;

		connection_open(kind, &connection, NULL, NULL);
		/* Whatever was in the memory before. */
		memset(&client, 0xff, sizeof(client));
		memset(&server, 0xff, sizeof(server));
		cr_assert_eq(socket_key(connection.client, &client), 0);
		cr_assert_eq(socket_key(connection.server, &server), 0);
		assert_mirrored(&client, &server);
		cr_expect_eq(client.remote_port, htons(connection.port), "%s",
			     connection_names[kind]);
		cr_expect_eq(IN6_IS_ADDR_V4MAPPED((struct in6_addr *)server.local_ip),
			     kind != CONNECTION_IPV6, "%s", connection_names[kind]);
		connection_close(&connection);
	}
}

Test(key, of_what_is_not_connected)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sl_key key;

	cr_assert_eq(socket_key(fd, &key), -ENOTCONN);
	close(fd);
	cr_assert_eq(socket_key(fd, &key), -EBADF);
}
