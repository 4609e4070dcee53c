/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_NETNS_H
#define PROXYD_NETNS_H

#include <stdint.h>

/*
 * The cookie of this process' network namespace, which no other has until the host is booted anew.
 * Returns 0 or -errno.
 */
int netns_cookie(uint64_t *cookie);

#endif
