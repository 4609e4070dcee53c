/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ROLL_H
#define PROXYD_ROLL_H

/*
 * Who is there: each has a place of its own from its coming to its going, so that the roll can be
 * called in pieces. Who is there all the while is met once, whoever else comes and goes.
 */

#include <stdint.h>

/* Zeros are an empty one. */
struct roll {
	uintptr_t *places; /* a pointer, or 1 + twice the number of the next free place */
	uint32_t size;
	uint32_t free; /* number of the first free place, counted from 1; 0: none */
};

/* `who` must be aligned to more than a byte. Returns 0, or -ENOMEM. */
int roll_add(struct roll *roll, void *who, uint32_t *place);

void roll_remove(struct roll *roll, uint32_t place);

/* The first one at `*place` or behind it, which becomes that one's place; NULL: nobody. */
void *roll_next(const struct roll *roll, uint32_t *place);

void roll_clear(struct roll *roll);

#endif
