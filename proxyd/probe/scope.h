/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_SCOPE_H
#define PROXYD_SCOPE_H

/* A cgroup v2 for a command and what it starts: one of its own, or one that is there. */

#include <limits.h>
#include <stdbool.h>

struct scope {
	char path[PATH_MAX]; /* for this process and its children, until they exec */
	char name[32];       /* in `parent`; "" for a cgroup that is not ours */
	int parent;
	int cgroup;
};

/*
 * Make a cgroup below the one that this process is in, or with a path open that one. Returns 0, or
 * -errno when it has said what went wrong.
 */
int scope_open(struct scope *scope, const char *path);

/* Move the calling process in. Returns 0 or -errno. */
int scope_enter(const struct scope *scope);

/*
 * Remove the cgroup, if it was made here; who is still in it goes on in ours. Says when it cannot.
 */
void scope_close(struct scope *scope);

#endif
