// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "socket_options.h"

/* The kernel cuts it to net.core.somaxconn. */
#define BACKLOG 65535

#define TAIL_S  3

/* Accept for addresses that are not this host's (ip(7)); the sockets that are accepted have it too.
 */
static int set_transparent(int fd, sa_family_t family)
{
	int on = 1;
	bool ipv6 = family == AF_INET6;

	return setsockopt(fd, ipv6 ? SOL_IPV6 : SOL_IP, ipv6 ? IPV6_TRANSPARENT : IP_TRANSPARENT,
			  &on, sizeof(on))
		       ? -errno
		       : 0;
}

static int bound_socket(const struct address *address, int option)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			IPPROTO_TCP);
	int on = 1, err;

	if (fd < 0)
		return -errno;
	/* SO_REUSEADDR: old connections in TIME_WAIT do not count as use (socket(7)). */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (option)
		setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on));
	if (bind(fd, &address->any, address->length)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int listener_check(const struct address *address)
{
	int fd = bound_socket(address, 0);
	int err = 0;

	if (fd < 0)
		return fd;
	if (listen(fd, 1))
		err = -errno;
	close(fd);
	return err;
}

int listener_open(const struct config_listener *config)
{
	int fd = bound_socket(&config->address, SO_REUSEPORT);
	int err;

	if (fd < 0)
		return fd;
	err = socket_options_set(fd, &config->tcp, true);
	if (!err && config->intercept.mode >= INTERCEPT_TPROXY)
		err = set_transparent(fd, config->address.any.sa_family);
	if (!err && listen(fd, BACKLOG))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

bool listener_takes(const struct config_listener *config, bool ipv6)
{
	const struct address *address = &config->address;

	return ipv6 == (address->any.sa_family == AF_INET6) || (!ipv6 && address_is_any(address));
}

static bool has_tail(unsigned int port, const char *table)
{
	/* Of enum tcp_states: FIN_WAIT1, LAST_ACK, CLOSING. */
	static const unsigned int waiting = 1u << 4 | 1u << 9 | 1u << 11;
	FILE *sockets = fopen(table, "r");
	unsigned int local, state;
	char line[256];
	bool found = false;

	while (sockets && !found && fgets(line, sizeof(line), sockets))
		found = sscanf(line, " %*[^:]: %*[^:]:%x %*s %x", &local, &state) == 2 &&
			local == port && state < 32 && waiting >> state & 1;
	if (sockets)
		fclose(sockets);
	return found;
}

void listener_await_tail(unsigned int port)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};

	for (int i = 0; i < TAIL_S * 50; i++) {
		if (!has_tail(port, "/proc/self/net/tcp") && !has_tail(port, "/proc/self/net/tcp6"))
			return;
		nanosleep(&pause, NULL);
	}
}
