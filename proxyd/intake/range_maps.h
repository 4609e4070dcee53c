/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_RANGE_MAPS_H
#define PROXYD_RANGE_MAPS_H

/*
 * The maps of bpf/ranges.bpf.h: which destinations a program takes. All that is written is of a
 * generation; the program goes by the one that it is told, so rules change all at once.
 */

#include <bpf/libbpf.h>

#include "config/config.h"

struct range_maps {
	const struct bpf_map *destinations;
	const struct bpf_map *excluded;
	const struct bpf_map *ports;
};

/* Write what is configured. Returns 0 or -errno, -ENOSPC when there are too many ranges. */
int range_maps_write(const struct range_maps *maps, const struct config_intercept *config,
		     uint32_t generation);

/* Have the program go by the generation, and return when no run goes by another. */
void range_maps_switch(uint32_t *in_force, uint32_t generation);

/* Take out the ranges of every other generation. */
void range_maps_keep(const struct range_maps *maps, uint32_t generation);

#endif
