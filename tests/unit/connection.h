#pragma once

/* Live TCP connections over loopback, of each address family that proxyd meets. */

#include <stdint.h>

enum connection_kind {
	CONNECTION_IPV4,
	CONNECTION_IPV6,
	CONNECTION_MAPPED,        /* an AF_INET client, accepted by an AF_INET6 listener */
	CONNECTION_MAPPED_CLIENT, /* an AF_INET6 client of [::ffff:127.0.0.1] */
	CONNECTION_KINDS,
};

extern const char *const connection_names[CONNECTION_KINDS];

struct connection {
	int client;
	int server;
	int listener;
	uint16_t port;
};

/*
 * Fails the test if it cannot be made. `prepare`, if not NULL, is called for the listening socket
 * before it listens and for the client's before it connects.
 */
void connection_open(enum connection_kind kind, struct connection *connection,
		     void (*prepare)(int fd, void *user), void *user);
void connection_close(struct connection *connection);
