// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/socket_key.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static void key_address(const struct sockaddr_storage *from, __be32 ip[4], __be16 *port)
{
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *ipv4 = (const struct sockaddr_in *)from;

		sl_map_ipv4(ip, ipv4->sin_addr.s_addr);
		*port = ipv4->sin_port;
	} else {
		const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)from;

		memcpy(ip, &ipv6->sin6_addr, sizeof(ipv6->sin6_addr));
		*port = ipv6->sin6_port;
	}
}

int socket_key(int fd, struct sl_key *key)
{
	struct sockaddr_storage local = {0}, remote = {0};
	socklen_t local_size = sizeof(local), remote_size = sizeof(remote);
	socklen_t cookie_size = sizeof(key->cookie);

	memset(key, 0, sizeof(*key));
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &key->cookie, &cookie_size) ||
	    getsockname(fd, (struct sockaddr *)&local, &local_size) ||
	    getpeername(fd, (struct sockaddr *)&remote, &remote_size))
		return -errno;
	key_address(&local, key->local_ip, &key->local_port);
	key_address(&remote, key->remote_ip, &key->remote_port);
	return 0;
}
