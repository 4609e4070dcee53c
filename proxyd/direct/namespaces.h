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
 * the cgroups below it. Processes that are gone or may not be looked at are left out; so are those
 * that are too many, which it says once.
 */
void namespaces_refresh(struct namespaces *namespaces, int cgroup);

/*
 * Call `visit` in each of them, in the caller's thread, which is back in its own afterwards. It
 * returns -errno, which ends the visits; 1 if there is something to come back for, whose sockets
 * may outlive their processes; or 0: the namespace is forgotten until the next look, for whoever
 * holds it keeps its devices in existence. One that cannot be entered (CAP_SYS_ADMIN) is skipped,
 * which it says once. Returns 0 or that -errno.
 */
int namespaces_visit(struct namespaces *namespaces, int (*visit)(void *user), void *user);

#endif
