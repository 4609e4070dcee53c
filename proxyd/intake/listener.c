// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "socket_options.h"

/* The kernel cuts it to net.core.somaxconn. */
#define BACKLOG 65535

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
	if (!err && listen(fd, BACKLOG))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}
