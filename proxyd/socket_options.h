/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_SOCKET_OPTIONS_H
#define PROXYD_SOCKET_OPTIONS_H

#include "config/config.h"

/*
 * Set what the config says of a side's sockets: on a listening socket, whose accepted sockets
 * inherit all of it, or on one that is about to connect. `fresh`: the socket has the system's
 * defaults, which need not be set. Returns 0, or -errno of what was refused (SO_MARK and
 * SO_BINDTODEVICE need CAP_NET_ADMIN).
 */
int socket_options_set(int fd, const struct config_tcp *options, bool fresh);

/*
 * Have the receive buffer weigh that much, as far as the kernel lets it, and lock its size; 0
 * leaves it alone. Returns 0 or -errno.
 */
int socket_options_set_receive_buffer(int fd, uint64_t bytes);

/*
 * Bind an upstream socket to the configured source address, where there is one of the family of
 * `to`; the port is chosen at connect(2) (IP_BIND_ADDRESS_NO_PORT), so that one source reaches
 * every endpoint from all its ports. Returns 0 or -errno.
 */
int socket_options_bind(int fd, const struct address *to, const struct config_tcp *options);

/*
 * Bind an upstream socket to the client's address (IP_TRANSPARENT), and its port or, without, one
 * that is chosen at connect(2). Returns 0, or -errno: -EAFNOSUPPORT when `to` is of another
 * family, -EPERM without CAP_NET_ADMIN and CAP_NET_RAW, -EADDRINUSE.
 */
int socket_options_bind_client(int fd, const struct address *to, const struct address *client,
			       bool with_port);

#endif
