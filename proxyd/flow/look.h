/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_LOOK_H
#define PROXYD_LOOK_H

/*
 * A look at a worker's flows, by another thread. The worker fills in one piece of them, in less
 * than a millisecond, and goes on; who asked then asks for the next piece.
 */

#include <semaphore.h>
#include <stdatomic.h>

#include "flow/account.h"
#include "flow/roll.h"

#define LOOK_FLOWS  128  /* in a piece, at most */
#define LOOK_PASSED 4096 /* flows that nobody wants to see, at most */

struct look {
	atomic_uint references; /* who asked may give up before the worker has answered */
	sem_t done;
	char listener[ACCOUNT_NAME], upstream[ACCOUNT_NAME]; /* only its flows; empty: all */
	uint32_t place; /* on the roll: where to begin, then where to go on */
	bool ended;     /* nobody is left on the roll */
	unsigned int count;
	struct account accounts[LOOK_FLOWS];
};

/* With one reference. NULL: no memory. */
struct look *look_new(void);
struct look *look_ref(struct look *look);
void look_unref(struct look *look); /* NULL is fine */

/* In the worker's thread. */
void look_fill(struct look *look, const struct roll *flows);

#endif
