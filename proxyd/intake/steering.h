/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_STEERING_H
#define PROXYD_STEERING_H

/*
 * Brings connections to whole prefixes and ranges of ports to a listener, by the program of
 * bpf/steer.bpf.c, and with `interfaces` by routes that deliver here what is for others. With
 * `on_exit: open` it ends with the process, however that ends; with `closed` the program is pinned
 * and refuses what it would have brought.
 */

#include "config/config.h"

struct steering;

/*
 * For a listener whose mode it is; nothing is steered yet. Needs CAP_BPF and CAP_NET_ADMIN. Returns
 * 0, or -errno when it has said what went wrong.
 */
int steering_new(const struct config_listener *listener, struct steering **out);

/* Make one of the listener's sockets known, which listens. Returns 0 or -errno. */
int steering_claim(struct steering *steering, int listening);

/* As those of a redirection. */
int steering_follow(struct steering *steering, const struct config_listener *listener);
void steering_end(struct steering *steering, bool for_good);
bool steering_has_tail(const struct steering *steering);
void steering_free(struct steering *steering);

#endif
