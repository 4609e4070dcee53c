/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_SOCKET_KEY_H
#define PROXYD_SOCKET_KEY_H

#include "sidelane/key.h"

/*
 * The SOCKHASH key of a connected socket, the same that sock_ops computed for it at ESTABLISHED.
 * Returns 0 or -errno.
 */
int socket_key(int fd, struct sl_key *key);

#endif
