/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_INTERCEPTION_H
#define PROXYD_INTERCEPTION_H

/*
 * Brings the TCP connections of a cgroup's processes to a listener, and knows where they were
 * meant to go (bpf/intercept.bpf.c). Nothing is pinned: it ends with the process, however that
 * ends, and connections go where they are meant to again.
 */

#include <stdatomic.h>

#include "config/config.h"
#include "intake/claim.h"

struct interception;

/*
 * Load the programs for a listener that has `intercept`; nothing is intercepted yet. `own_cgroup`
 * is a directory of the cgroup that holds proxyd, NULL: found; `claims` (may be NULL) knows what
 * other proxyds intercept. Needs CAP_BPF and CAP_NET_ADMIN.
 * Returns 0, or -errno when it has said what went wrong.
 */
int interception_new(const struct config_listener *listener, const char *own_cgroup,
		     struct claims *claims, struct interception **out);

/* Make one of the listener's sockets known, before it accepts. Returns 0 or -errno. */
int interception_claim(const struct interception *interception, int listening);

/*
 * Go by the listener's rules from now on, all of them at once; its address has its port. The
 * first time, begin. Returns 0, or -errno with what held before still in force.
 */
int interception_follow(struct interception *interception, const struct config_listener *listener);

/*
 * New connections go where they are meant to, or with `on_exit: closed` nowhere, unless the
 * listener goes `for_good`. Those that were intercepted go on while somebody has a reference, and
 * still see the address that they asked for. NULL is ignored; so is a second time, but for whether
 * proxyd ends, which is not `for_good`.
 */
void interception_end(struct interception *interception, const struct config_listener *listener,
		      bool for_good);

/* Where an accepted connection was meant to go. False: it was not intercepted. */
bool interception_destination(const struct interception *interception, int fd, struct address *out);

/*
 * Whether it was of a listener like this, of another mode than connect, and can be again: what it
 * has in the kernel is named after the listener, and there can be one of a name.
 */
bool interception_resumes(const struct interception *interception,
			  const struct config_listener *listener);

/* Whether it has put rules under the name of this listener's. NULL has none. */
bool interception_has_table(const struct interception *interception,
			    const struct config_listener *listener);

/*
 * Of one that has ended, whether anybody else has a reference, or clients have still to acknowledge
 * the end of what they were sent. These are given 3 s from the first time that this is asked when
 * nobody else has one; who asks later is told no, and the log that they were not done.
 */
bool interception_is_needed(struct interception *interception);

struct interception *interception_ref(struct interception *interception);
void interception_unref(struct interception *interception); /* NULL is fine */

#endif
