// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "intake/claim.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* An abstract name (unix(7)), which belongs to the network namespace; the inode is the cgroup's ID.
 */
static socklen_t name_of(ino_t cgroup, int family, struct sockaddr_un *name)
{
	int length;

	*name = (struct sockaddr_un){.sun_family = AF_UNIX};
	length = snprintf(name->sun_path + 1, sizeof(name->sun_path) - 1,
			  "sidelane/connect/%llu/%d", (unsigned long long)cgroup, family);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* Whether who has the name is this process. Asked too often to have room for one more: it is. */
static bool is_ours(int fd, const struct sockaddr_un *name, socklen_t size)
{
	struct ucred holder = {0};
	socklen_t length = sizeof(holder);

	if (connect(fd, (const struct sockaddr *)name, size))
		return errno == EAGAIN;
	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &holder, &length) && holder.pid == getpid();
}

/* Returns 0 or -EADDRINUSE. Where no name can be had at all, nothing is claimed. */
static int take(ino_t cgroup, int family, int *out)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_un name;
	socklen_t size = name_of(cgroup, family, &name);
	int err = 0;

	if (fd < 0)
		return 0;
	/* So that others learn who has it. */
	if (!bind(fd, (const struct sockaddr *)&name, size) && !listen(fd, 64)) {
		*out = fd;
		return 0;
	}
	if (errno == EADDRINUSE && !is_ours(fd, &name, size))
		err = -EADDRINUSE;
	close(fd);
	return err;
}

int claim_take(struct claim *claim, int cgroup, const struct address *address, int *family)
{
	const bool takes[2] = {address->any.sa_family == AF_INET || address_is_any(address),
			       address->any.sa_family == AF_INET6};
	struct stat directory;
	int err = 0;

	if (fstat(cgroup, &directory))
		return 0;
	for (int i = 0; !err && i < 2; i++) {
		*family = i ? AF_INET6 : AF_INET;
		if (takes[i] && claim->fds[i] < 0)
			err = take(directory.st_ino, *family, &claim->fds[i]);
	}
	return err;
}

void claim_drop(struct claim *claim)
{
	for (int i = 0; i < 2; i++) {
		if (claim->fds[i] >= 0)
			close(claim->fds[i]);
		claim->fds[i] = -1;
	}
}
