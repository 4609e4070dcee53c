// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "probe/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "probe/cgroup.h"

/* A process may fork while its cgroup is emptied, and takes a moment to be gone. */
#define ROUNDS   500
#define ROUND_US 10000

/* Cgroups of one name and number. */
#define NAMES 100

/* "0" is the writer. */
static int move(const char *process, int cgroup)
{
	int fd = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, process, strlen(process)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/*
 * A name that others can open too, where the hierarchy is mounted in sight; else by the descriptor,
 * which children inherit.
 */
static void find_path(struct scope *scope)
{
	char link[64], parent[PATH_MAX - sizeof(scope->name) - 1];
	ssize_t length;
	int fd;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", scope->parent);
	length = readlink(link, parent, sizeof(parent) - 1);
	parent[length > 0 ? length : 0] = '\0';
	snprintf(scope->path, sizeof(scope->path), "%s/%s", parent, scope->name);
	fd = cgroup_open(scope->path);
	if (fd >= 0)
		close(fd);
	else
		snprintf(scope->path, sizeof(scope->path), "%s/%s", link, scope->name);
}

/*
 * Of two PID namespaces, or of one that was killed and the next with its number, only the first can
 * have the plain name. Returns 0 or -errno.
 */
static int make_directory(struct scope *scope)
{
	const int process = (int)getpid();
	int err;

	snprintf(scope->name, sizeof(scope->name), "proxyd-exec-%d", process);
	err = mkdirat(scope->parent, scope->name, 0755) ? -errno : 0;
	for (int i = 2; err == -EEXIST && i <= NAMES; i++) {
		snprintf(scope->name, sizeof(scope->name), "proxyd-exec-%d-%d", process, i);
		err = mkdirat(scope->parent, scope->name, 0755) ? -errno : 0;
	}
	return err;
}

static int make(struct scope *scope)
{
	int err;

	scope->parent = cgroup_open(NULL);
	if (scope->parent < 0) {
		log_error("cannot find or mount cgroup v2: %s", strerror(-scope->parent));
		return scope->parent;
	}
	err = make_directory(scope);
	if (!err) {
		find_path(scope);
		scope->cgroup =
			openat(scope->parent, scope->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (scope->cgroup >= 0)
			return 0;
		err = -errno;
		unlinkat(scope->parent, scope->name, AT_REMOVEDIR);
	}
	log_error("cannot make a cgroup below the own one: %s; it takes root, or a cgroup that is "
		  "delegated (Delegate=yes), or name one with --cgroup",
		  strerror(-err));
	close(scope->parent);
	return err;
}

int scope_open(struct scope *scope, const char *path)
{
	*scope = (struct scope){.parent = -1, .cgroup = -1};
	if (!path)
		return make(scope);
	if (strlen(path) >= sizeof(scope->path))
		return -ENAMETOOLONG;
	strcpy(scope->path, path);
	scope->cgroup = cgroup_open(path);
	if (scope->cgroup >= 0)
		return 0;
	log_error("--cgroup %s: %s; name a directory of a cgroup v2", path,
		  strerror(-scope->cgroup));
	return scope->cgroup;
}

int scope_enter(const struct scope *scope)
{
	return move("0", scope->cgroup);
}

/* Returns 0, or -errno of the last process that would not go. */
static int empty(const struct scope *scope)
{
	int fd = openat(scope->cgroup, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *processes = fd < 0 ? NULL : fdopen(fd, "r");
	char process[32];
	int err = 0, result;

	if (!processes)
		return -errno;
	while (fgets(process, sizeof(process), processes)) {
		result = move(process, scope->parent);
		if (result && result != -ESRCH)
			err = result;
	}
	fclose(processes);
	return err;
}

static void remove_own(struct scope *scope)
{
	int err = 0;

	for (int round = 0; round < ROUNDS; round++) {
		err = empty(scope);
		if (!unlinkat(scope->parent, scope->name, AT_REMOVEDIR))
			return;
		if (!err)
			err = -errno;
		if (errno != EBUSY)
			break;
		usleep(ROUND_US);
	}
	log_warning("cannot remove the cgroup %s: %s", scope->path, strerror(-err));
}

void scope_close(struct scope *scope)
{
	if (scope->parent >= 0) {
		remove_own(scope);
		close(scope->parent);
	}
	close(scope->cgroup);
}
