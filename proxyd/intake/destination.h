/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DESTINATION_H
#define PROXYD_DESTINATION_H

#include <stdbool.h>

#include "config/config.h"

struct interception;

/*
 * Where the client meant to connect to: what the listener's interception (may be NULL) knows, or
 * what netfilter translated (SO_ORIGINAL_DST, netfilter_ipv4.h), else the local address that it
 * reached. length 0: not to be had.
 */
void destination_of(int fd, const struct interception *interception, struct address *out);

/* Whether the destination is the very address that the listener has accepted the connection on. */
bool destination_is_own(const struct address *destination, int fd,
			const struct config_listener *listener);

#endif
