/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_LISTENER_H
#define PROXYD_LISTENER_H

#include "config/config.h"

/*
 * Make sure that nobody listens on the address: SO_REUSEPORT, with which the workers share it,
 * would silently share it with another proxyd too. Returns 0 or -errno, -EADDRINUSE above all.
 */
int listener_check(const struct address *address);

/*
 * A listening, non-blocking socket for one worker, with the listener's socket options. Returns a
 * file descriptor or -errno.
 */
int listener_open(const struct config_listener *config);

/* Whether it takes connections of the family; [::] takes both. */
bool listener_takes(const struct config_listener *config, bool ipv6);

/*
 * Whether the kernel has still to send what was left in sockets at their close(2): in those of a
 * listener's port, or with 0 in those of addresses that are not this host's, as modes tproxy and
 * steer accept them.
 */
bool listener_has_tail(unsigned int port);

/* Say that it will be cut off. */
void listener_warn_of_tail(void);

/*
 * At the end of proxyd: wait for it. If clients do not acknowledge it, give up with a warning after
 * half a minute, or when a SIGTERM or SIGINT is pending.
 */
void listener_await_tail(unsigned int port);

#endif
