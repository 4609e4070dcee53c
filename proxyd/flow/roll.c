// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "flow/roll.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define SIZE_FIRST 64

static int grow(struct roll *roll)
{
	uint32_t size = roll->size ? roll->size * 2 : SIZE_FIRST;
	uintptr_t *places = reallocarray(roll->places, size, sizeof(*places));

	if (!places)
		return -ENOMEM;
	roll->places = places;
	for (uint32_t place = size; place-- > roll->size;) {
		places[place] = 2 * (uintptr_t)roll->free + 1;
		roll->free = place + 1;
	}
	roll->size = size;
	return 0;
}

int roll_add(struct roll *roll, void *who, uint32_t *place)
{
	if (!roll->free && grow(roll))
		return -ENOMEM;
	*place = roll->free - 1;
	roll->free = (uint32_t)(roll->places[*place] / 2);
	roll->places[*place] = (uintptr_t)who;
	return 0;
}

void roll_remove(struct roll *roll, uint32_t place)
{
	roll->places[place] = 2 * (uintptr_t)roll->free + 1;
	roll->free = place + 1;
}

void *roll_next(const struct roll *roll, uint32_t *place)
{
	while (*place < roll->size && roll->places[*place] & 1)
		++*place;
	return *place < roll->size ? (void *)roll->places[*place] : NULL;
}

void roll_clear(struct roll *roll)
{
	free(roll->places);
	*roll = (struct roll){0};
}
