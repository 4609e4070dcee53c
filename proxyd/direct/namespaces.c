// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "direct/namespaces.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

#define NAMESPACES_MAX 1024
#define CGROUPS_DEEP   32

struct namespace
{
	int fd; /* keeps it in existence, so that its inode number stays its own */
	ino_t inode;
};

struct namespaces {
	struct namespace items[NAMESPACES_MAX]; /* the first is the caller's own */
	size_t count, limit;
	bool said_excess, said_skipped;
};

static bool is_known(const struct namespaces *namespaces, ino_t inode)
{
	for (size_t i = 0; i < namespaces->count; i++)
		if (namespaces->items[i].inode == inode)
			return true;
	return false;
}

static int add(struct namespaces *namespaces, const char *path)
{
	struct stat facts;
	int fd;

	if (stat(path, &facts))
		return -errno;
	if (is_known(namespaces, facts.st_ino))
		return 0;
	if (namespaces->count == namespaces->limit)
		return -ENOSPC;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &facts) || is_known(namespaces, facts.st_ino))
		close(fd);
	else
		namespaces->items[namespaces->count++] = (struct namespace){fd, facts.st_ino};
	return 0;
}

int namespaces_new(struct namespaces **out)
{
	struct namespaces *namespaces = calloc(1, sizeof(*namespaces));
	struct rlimit files;
	int err;

	if (!namespaces)
		return -ENOMEM;
	/* The rest of the descriptors is for whatever else. */
	namespaces->limit = NAMESPACES_MAX;
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur / 2 < NAMESPACES_MAX)
		namespaces->limit = files.rlim_cur / 2;
	err = add(namespaces, "/proc/thread-self/ns/net");
	if (err) {
		namespaces_free(namespaces);
		return err;
	}
	*out = namespaces;
	return 0;
}

void namespaces_free(struct namespaces *namespaces)
{
	if (!namespaces)
		return;
	for (size_t i = 0; i < namespaces->count; i++)
		close(namespaces->items[i].fd);
	free(namespaces);
}

static void add_processes(struct namespaces *namespaces, int cgroup)
{
	int fd = openat(cgroup, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	char path[64];
	long pid;

	if (!file) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (fscanf(file, "%ld", &pid) == 1) {
		snprintf(path, sizeof(path), "/proc/%ld/ns/net", pid);
		if (add(namespaces, path) == -ENOSPC && !namespaces->said_excess) {
			log_warning("more than %zu network namespaces: the connections of the rest "
				    "are left alone; accelerate cgroups with fewer, or raise the "
				    "limit of open files (LimitNOFILE= in a systemd unit), of "
				    "which half are for them, %d at most",
				    namespaces->limit, NAMESPACES_MAX);
			namespaces->said_excess = true;
		}
	}
	fclose(file);
}

static void add_tree(struct namespaces *namespaces, int cgroup, int depth)
{
	int fd = openat(cgroup, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!directory) {
		if (fd >= 0)
			close(fd);
		return;
	}
	add_processes(namespaces, fd);
	while (depth < CGROUPS_DEEP && (entry = readdir(directory))) {
		int child;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
			continue;
		child = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (child < 0)
			continue;
		add_tree(namespaces, child, depth + 1);
		close(child);
	}
	closedir(directory);
}

void namespaces_refresh(struct namespaces *namespaces, int cgroup)
{
	add_tree(namespaces, cgroup, 0);
}

/* Returns as visit(), or 0 and counts in *skipped. */
static int visit_one(const struct namespaces *namespaces, size_t i, int (*visit)(void *user),
		     void *user, size_t *skipped)
{
	int answer;

	if (setns(namespaces->items[i].fd, CLONE_NEWNET)) {
		++*skipped;
		return 0;
	}
	answer = visit(user);
	/* Its own is always open to it: it was there. */
	if (setns(namespaces->items[0].fd, CLONE_NEWNET))
		abort();
	return answer;
}

int namespaces_visit(struct namespaces *namespaces, int (*visit)(void *user), void *user)
{
	int answer = visit(user);
	size_t kept = 1, skipped = 0;

	for (size_t i = 1; i < namespaces->count; i++) {
		if (answer >= 0)
			answer = visit_one(namespaces, i, visit, user, &skipped);
		if (answer)
			namespaces->items[kept++] = namespaces->items[i];
		else
			close(namespaces->items[i].fd);
	}
	namespaces->count = kept;
	if (skipped && !namespaces->said_skipped) {
		log_warning("%zu network namespaces cannot be entered (CAP_SYS_ADMIN): their "
			    "connections are left alone",
			    skipped);
		namespaces->said_skipped = true;
	}
	return answer < 0 ? answer : 0;
}
