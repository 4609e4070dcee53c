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

#endif
