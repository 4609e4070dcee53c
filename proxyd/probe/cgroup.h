/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CGROUP_H
#define PROXYD_CGROUP_H

/*
 * Open the cgroup v2 directory at `path`, or with NULL the one that this process is in. Where
 * no cgroup v2 is mounted, a mount that nobody else sees serves (needs CAP_SYS_ADMIN) and goes away
 * with the descriptor. Returns a descriptor to attach programs to, or -errno: -ENOTDIR also
 * for a directory of another file system.
 */
int cgroup_open(const char *path);

/* The root of the hierarchy, to look around in. Returns a descriptor or -errno. */
int cgroup_open_root(void);

#endif
