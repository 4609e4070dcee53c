/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CLAIM_H
#define PROXYD_CLAIM_H

/*
 * That nobody else intercepts the connections of a cgroup in this network namespace: programs of
 * two proxyds would both rewrite an address, and the first proxy be taken for the destination. Held
 * by a name that the kernel gives back when the process ends, however it ends.
 */

#include "config/address.h"

struct claim {
	int fds[2]; /* IPv4, IPv6; -1: not held */
};

/*
 * Claim the families that a listener at `address` takes from the cgroup with that directory. What
 * this process itself has claimed before is no hindrance: a reload makes the next before the last
 * ends. Returns 0, or -EADDRINUSE when another process has it, and in *family which.
 */
int claim_take(struct claim *claim, int cgroup, const struct address *address, int *family);
void claim_drop(struct claim *claim);

#endif
