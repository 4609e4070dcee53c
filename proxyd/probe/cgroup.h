/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CGROUP_H
#define PROXYD_CGROUP_H

/*
 * A cgroup v2 that holds proxyd alone, so that the sock_ops program on it sees proxyd's sockets and
 * no others. Its name is proxyd-PID, below the cgroup that proxyd was started in. Where
 * no cgroup v2 is mounted, a mount that nobody else sees serves (needs CAP_SYS_ADMIN).
 */

struct cgroup;

/*
 * Make the cgroup below `parent` (a directory of a cgroup v2 mount; NULL: the one that this process
 * is in) and move this process into it. To be called before threads are started. Also removes
 * what killed predecessors left there. Returns 0, or -errno of the step named in *step.
 */
int cgroup_enter(const char *parent, struct cgroup **out, const char **step);

/* The directory's file descriptor, for attaching programs. */
int cgroup_fd(const struct cgroup *cgroup);

/* Move this process back to where it came from and remove the cgroup. NULL is ignored. */
void cgroup_leave(struct cgroup *cgroup);

#endif
