/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ACCEPTOR_H
#define PROXYD_ACCEPTOR_H

/* A worker's listening sockets, one for each listener of the plan. */

#include <event2/event.h>
#include <stdbool.h>

#include "intake/room.h"
#include "policy/plan.h"
#include "stats.h"

struct acceptor;
struct door; /* a listening socket */

/* A client was accepted by the plan's listener of that index. Takes `fd` over. */
typedef void acceptor_cb(void *user, unsigned int listener, int fd, const struct address *client);

struct acceptor_options {
	struct event_base *base;
	struct room *room;
	uint32_t worker;
	acceptor_cb *accepted;
	void *user;
	counter *failures;        /* of accept(2) */
	struct kernel_lane *lane; /* that the sockets are claimed for; NULL: for none */
};

/* Returns 0 or -errno. */
int acceptor_new(const struct acceptor_options *options, struct acceptor **out);

/*
 * From any thread: make what another plan needs for acceptor_follow(). `listening` has for each of
 * its listeners a new socket, which is taken over whatever this returns, or -1: go on with the one
 * for that address. Returns 0 or -errno.
 */
int acceptor_prepare(struct acceptor *acceptor, const struct config *config, const int *listening,
		     struct door ***out);

/* From any thread: the `count` listeners' doors are not needed after all. NULL is ignored. */
void acceptor_abandon(struct door **doors, unsigned int count);

/*
 * Listen for the plan that these doors, which are taken over, were prepared for. What it does not
 * have is closed when the connections that wait there have been accepted.
 */
void acceptor_follow(struct acceptor *acceptor, const struct config *config, struct door **doors);

/* Close one listener's socket, or all. `accept` what waits there: closing would reset it. */
void acceptor_close(struct acceptor *acceptor, unsigned int listener, bool accept);
void acceptor_close_all(struct acceptor *acceptor, bool accept);

void acceptor_free(struct acceptor *acceptor);

#endif
