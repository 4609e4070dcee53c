// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/maglev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define NOBODY UINT16_MAX

struct maglev {
	uint32_t size;
	void **users;
	uint16_t slots[];
};

/* A member while the table is filled. */
struct filler {
	const struct maglev_member *member;
	uint32_t next; /* slot that it looks at next */
	uint32_t skip;
	uint64_t turns; /* that it has had, times the greatest weight */
};

static int compare_names(const void *left, const void *right)
{
	const struct filler *a = left, *b = right;

	return strcmp(a->member->name, b->member->name);
}

/* Those with a weight, by name: whoever knows the same members makes the same table. */
static unsigned int make_fillers(const struct maglev_member *members, unsigned int count,
				 uint32_t size, struct filler *fillers)
{
	unsigned int made = 0;

	for (unsigned int i = 0; i < count; i++) {
		const char *name = members[i].name;
		size_t length = strlen(name);

		if (!members[i].weight)
			continue;
		fillers[made++] = (struct filler){
			.member = &members[i],
			.next = (uint32_t)(XXH3_64bits_withSeed(name, length, 0) % size),
			.skip = (uint32_t)(XXH3_64bits_withSeed(name, length, 1) % (size - 1)) + 1,
		};
	}
	qsort(fillers, made, sizeof(*fillers), compare_names);
	return made;
}

/* The next slot in the member's order that nobody has. */
static void take_slot(struct maglev *maglev, struct filler *filler, uint16_t number)
{
	uint32_t slot = filler->next;

	while (maglev->slots[slot] != NOBODY) {
		slot += filler->skip;
		if (slot >= maglev->size)
			slot -= maglev->size;
	}
	maglev->slots[slot] = number;
	filler->next = slot;
}

/*
 * Rounds, in each of which a member of the greatest weight has a turn, and another one when its
 * weights of all rounds come to one. With equal weights that is the paper's loop.
 */
static void fill(struct maglev *maglev, struct filler *fillers, unsigned int count)
{
	uint64_t greatest = 0;
	uint32_t taken = 0;

	for (unsigned int i = 0; i < count; i++)
		if (fillers[i].member->weight > greatest)
			greatest = fillers[i].member->weight;
	for (;;)
		for (unsigned int i = 0; i < count; i++) {
			fillers[i].turns += fillers[i].member->weight;
			if (fillers[i].turns < greatest)
				continue;
			fillers[i].turns -= greatest;
			take_slot(maglev, &fillers[i], (uint16_t)i);
			if (++taken == maglev->size)
				return;
		}
}

int maglev_new(const struct maglev_member *members, unsigned int count, uint32_t size,
	       struct maglev **out)
{
	struct filler *fillers = calloc(count + 1, sizeof(*fillers));
	struct maglev *maglev = malloc(sizeof(*maglev) + size * sizeof(maglev->slots[0]));
	void **users = calloc(count + 1, sizeof(*users));
	unsigned int made = 0;
	int err = 0;

	if (count > MAGLEV_MEMBERS_MAX)
		err = -E2BIG;
	else if (!fillers || !maglev || !users)
		err = -ENOMEM;
	else if (!(made = make_fillers(members, count, size, fillers)))
		err = -EINVAL;
	if (err) {
		free(maglev);
		free(users);
	} else {
		maglev->size = size;
		maglev->users = users;
		memset(maglev->slots, 0xff, size * sizeof(maglev->slots[0]));
		for (unsigned int i = 0; i < made; i++)
			users[i] = fillers[i].member->user;
		fill(maglev, fillers, made);
		*out = maglev;
	}
	free(fillers);
	return err;
}

void maglev_free(struct maglev *maglev)
{
	if (!maglev)
		return;
	free(maglev->users);
	free(maglev);
}

void *maglev_lookup(const struct maglev *maglev, uint64_t key)
{
	return maglev->users[maglev->slots[key % maglev->size]];
}
