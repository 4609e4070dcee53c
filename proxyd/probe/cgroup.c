// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "probe/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The mount point of the first cgroup v2 hierarchy. Returns an O_PATH descriptor or -errno. */
static int open_mounted(void)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent entry;
	char buffer[4096];
	int fd = -ENOENT;

	if (!mounts)
		return -errno;
	while (fd < 0 && getmntent_r(mounts, &entry, buffer, sizeof(buffer)))
		if (!strcmp(entry.mnt_type, "cgroup2"))
			fd = open(entry.mnt_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	endmntent(mounts);
	return fd;
}

/* A mount that is attached nowhere and goes away with its descriptor (fsmount(2), 5.2). */
static int open_detached(void)
{
	int context = fsopen("cgroup2", FSOPEN_CLOEXEC);
	int fd;

	if (context < 0)
		return -errno;
	if (fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		fd = -errno;
	else
		fd = fsmount(context, FSMOUNT_CLOEXEC, 0);
	if (fd == -1)
		fd = -errno;
	close(context);
	return fd;
}

/* This process' cgroup v2, relative to the hierarchy's root: "." or "a/b". */
static int own_path(char *path, size_t size)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[4096];
	int err = -ENOENT;

	if (!file)
		return -errno;
	while (err && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4))
			continue;
		err = snprintf(path, size, "%s", line[4] ? line + 4 : ".") < (int)size
			      ? 0
			      : -ENAMETOOLONG;
	}
	fclose(file);
	return err;
}

int cgroup_open_root(void)
{
	int root = open_mounted();

	return root < 0 ? open_detached() : root;
}

static int open_own(void)
{
	char path[4096];
	int err = own_path(path, sizeof(path));
	int root, fd;

	if (err)
		return err;
	root = cgroup_open_root();
	if (root < 0)
		return root;
	fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(root);
	return fd;
}

static int open_named(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs system;

	if (fd < 0)
		return -errno;
	if (!fstatfs(fd, &system) && system.f_type == CGROUP2_SUPER_MAGIC)
		return fd;
	close(fd);
	return -ENOTDIR;
}

int cgroup_open(const char *path)
{
	return path ? open_named(path) : open_own();
}
