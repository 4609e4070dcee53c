// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "probe/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "proxyd-"

struct cgroup {
	int parent; /* directory that proxyd was in */
	int own;
	char name[32];
};

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

static int open_own(void)
{
	char path[4096];
	int err = own_path(path, sizeof(path));
	int root, fd;

	if (err)
		return err;
	root = open_mounted();
	if (root < 0)
		root = open_detached();
	if (root < 0)
		return root;
	fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(root);
	return fd;
}

static int move_to(int directory)
{
	int procs = openat(directory, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (procs < 0)
		return -errno;
	if (write(procs, "0", 1) != 1)
		err = -errno;
	close(procs);
	return err;
}

/* A cgroup with processes in it cannot be removed, so no live proxyd loses its own. */
static void remove_stale(int parent)
{
	int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;

	if (!directory)
		return;
	while ((entry = readdir(directory)))
		if (!strncmp(entry->d_name, PREFIX, strlen(PREFIX)) &&
		    kill(atoi(entry->d_name + strlen(PREFIX)), 0) && errno == ESRCH)
			unlinkat(parent, entry->d_name, AT_REMOVEDIR);
	closedir(directory);
}

static int make_own(struct cgroup *cgroup, const char **step)
{
	int err;

	remove_stale(cgroup->parent);
	*step = "make a cgroup";
	if (mkdirat(cgroup->parent, cgroup->name, 0755) && errno != EEXIST)
		return -errno;
	cgroup->own = openat(cgroup->parent, cgroup->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup->own < 0)
		return -errno;
	*step = "enter the cgroup";
	err = move_to(cgroup->own);
	if (err)
		unlinkat(cgroup->parent, cgroup->name, AT_REMOVEDIR);
	return err;
}

static void cgroup_free(struct cgroup *cgroup)
{
	if (cgroup->own >= 0)
		close(cgroup->own);
	if (cgroup->parent >= 0)
		close(cgroup->parent);
	free(cgroup);
}

int cgroup_enter(const char *parent, struct cgroup **out, const char **step)
{
	struct cgroup *cgroup = calloc(1, sizeof(*cgroup));
	int err;

	*step = "allocate";
	if (!cgroup)
		return -ENOMEM;
	cgroup->own = -1;
	snprintf(cgroup->name, sizeof(cgroup->name), PREFIX "%d", (int)getpid());
	*step = parent ? "open the cgroup" : "find or mount cgroup v2";
	cgroup->parent = parent ? open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : open_own();
	if (parent && cgroup->parent < 0)
		cgroup->parent = -errno;
	err = cgroup->parent < 0 ? cgroup->parent : make_own(cgroup, step);
	if (err) {
		cgroup_free(cgroup);
		return err;
	}
	*out = cgroup;
	return 0;
}

int cgroup_fd(const struct cgroup *cgroup)
{
	return cgroup->own;
}

void cgroup_leave(struct cgroup *cgroup)
{
	if (!cgroup)
		return;
	if (!move_to(cgroup->parent))
		unlinkat(cgroup->parent, cgroup->name, AT_REMOVEDIR);
	cgroup_free(cgroup);
}
