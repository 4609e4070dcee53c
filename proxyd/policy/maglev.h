/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_MAGLEV_H
#define PROXYD_MAGLEV_H

/*
 * Maglev consistent hashing: D. E. Eisenbud et al., "Maglev: A Fast and Reliable Software Network
 * Load Balancer", NSDI 2016, section 3.4. A table whose slots the members take by turns, each in
 * the order of a permutation of its own; a key belongs to whom its slot belongs to. A table never
 * changes: another set of members makes another table, in which most keys stay where they were.
 */

#include <stdbool.h>
#include <stdint.h>

/* The paper's "small" size. A prime, so that every skip makes a permutation. */
#define MAGLEV_SIZE 65537

/* No more members than that: slots name them in 16 bits. */
#define MAGLEV_MEMBERS_MAX (UINT16_MAX - 1)

struct maglev;

struct maglev_member {
	const char *name; /* what its permutation is made of */
	uint64_t weight;  /* turns, as a share of the sum of weights; 0: none */
	void *user;
};

/*
 * Build a table of `size` slots, a prime. The order of the members does not matter to it. Their
 * names are not kept. Returns 0, -ENOMEM, -EINVAL when nobody has a weight, or -E2BIG.
 */
int maglev_new(const struct maglev_member *members, unsigned int count, uint32_t size,
	       struct maglev **out);
void maglev_free(struct maglev *maglev); /* NULL is fine */

/* The `user` of the member to whom the key belongs. */
void *maglev_lookup(const struct maglev *maglev, uint64_t key);

#endif
