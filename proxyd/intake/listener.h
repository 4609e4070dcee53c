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
 * Wait for the kernel to send what was left in the sockets of a listener's port at their close(2):
 * for a few seconds, if a client does not acknowledge it.
 */
void listener_await_tail(unsigned int port);

#endif
