// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe/netns.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* getsockopt(2), SO_NETNS_COOKIE, Linux 5.14. */
int netns_cookie(uint64_t *cookie)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(*cookie);
	int err = fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &size) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}
