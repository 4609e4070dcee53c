/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_NAMESPACES_H
#define PROXYD_NAMESPACES_H

/* The network namespaces in which a cgroup's processes live, and the caller's own. */

#include <stddef.h>
#include <sys/types.h>

struct namespaces;

/* The caller's own alone, so far. Returns 0 or -errno. */
int namespaces_new(struct namespaces **out);
void namespaces_free(struct namespaces *namespaces); /* NULL is fine */

/*
 * Look for more: those of the processes in the cgroup at `cgroup` (a directory's descriptor) and in
 * the cgroups below it. One that is known stays known while it exists, for its sockets may outlive
 * its processes. Processes that are gone or may not be looked at are left out. Returns 0 or -errno.
 */
int namespaces_refresh(struct namespaces *namespaces, int cgroup);

/*
 * Call `visit` in each of them, in the caller's thread, which is back in its own afterwards. One
 * that cannot be entered (CAP_SYS_ADMIN) is skipped and counted in *skipped. Returns 0, or at once
 * what `visit` returned other than 0.
 */
int namespaces_visit(const struct namespaces *namespaces, int (*visit)(void *user), void *user,
		     size_t *skipped);

#endif
