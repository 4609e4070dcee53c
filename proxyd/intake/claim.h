/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CLAIM_H
#define PROXYD_CLAIM_H

/*
 * That nobody else intercepts the connections of a cgroup in this network namespace: programs of
 * two proxyds would both rewrite an address, and the first proxy be taken for the destination.
 * Held by a BPF map that nothing refers to but its descriptor. It takes CAP_BPF to make one, so no
 * user stands in the way, and the kernel frees it when the process ends, however it ends.
 */

#include "config/address.h"

struct claims; /* reads who has claimed what */

/*
 * Needs CAP_PERFMON, which proxyd gives up once it is ready: make it before. Returns 0 or -errno.
 */
int claims_new(struct claims **out);
/*
 * What the programs of all listeners share: the map of the clients that they have led to proxyd.
 * The first one brings it, which is duplicated. A descriptor, the claims' own, or -1.
 */
void claims_share(struct claims *claims, int clients);
int claims_shared(const struct claims *claims);   /* NULL is fine */
struct claims *claims_ref(struct claims *claims); /* NULL is fine */
void claims_unref(struct claims *claims);         /* here too */

struct claim {
	int fds[2]; /* IPv4, IPv6; -1: not held */
};

/*
 * Claim the families that a listener at `address` takes from the cgroup with that directory. What
 * this process itself has claimed before is no hindrance: a reload makes the next before the last
 * ends. Returns 0, or -EADDRINUSE when another process has it, and in *family which; two that
 * begin at the very same time may both get that. Where nobody can be asked (`claims` is NULL, or
 * the kernel refuses) it is claimed all the same.
 */
int claim_take(struct claim *claim, struct claims *claims, int cgroup,
	       const struct address *address, int *family);
void claim_drop(struct claim *claim);

#endif
