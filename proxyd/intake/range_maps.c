// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "intake/range_maps.h"

#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sidelane/intercept.h"

static int set_ranges(const struct bpf_map *map, const struct cidr_list *list, uint32_t generation)
{
	const uint8_t yes = 1;
	int err = 0;

	for (unsigned int i = 0; !err && i < list->count; i++) {
		struct sl_range range = {32u + list->items[i].prefix, generation, {0}};

		memcpy(range.ip, list->items[i].bytes, sizeof(range.ip));
		err = bpf_map_update_elem(bpf_map__fd(map), &range, &yes, BPF_ANY);
	}
	return err;
}

static int set_ports(const struct bpf_map *map, const struct port_list *list, uint32_t generation)
{
	uint64_t words[SL_PORT_WORDS] = {0};
	int err = 0;

	for (unsigned int i = 0; i < list->count; i++)
		for (uint32_t port = list->items[i].first; port <= list->items[i].last; port++)
			words[port / 64] |= UINT64_C(1) << port % 64;
	for (uint32_t i = 0; !err && i < SL_PORT_WORDS; i++) {
		uint32_t index = (generation & 1) * SL_PORT_WORDS + i;

		err = bpf_map_update_elem(bpf_map__fd(map), &index, &words[i], BPF_ANY);
	}
	return err;
}

int range_maps_write(const struct range_maps *maps, const struct config_intercept *config,
		     uint32_t generation)
{
	int err = set_ranges(maps->destinations, &config->destinations, generation);

	if (!err)
		err = set_ranges(maps->excluded, &config->exclude, generation);
	return err ? err : set_ports(maps->ports, &config->ports, generation);
}

/* Whoever began by the old rules ends by them: programs run within RCU. */
void range_maps_switch(uint32_t *in_force, uint32_t generation)
{
	__atomic_store_n(in_force, generation, __ATOMIC_RELEASE);
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

static void clear_ranges(const struct bpf_map *map, uint32_t generation)
{
	struct sl_range range, kept, *previous = NULL;
	int fd = bpf_map__fd(map);

	while (!bpf_map_get_next_key(fd, previous, &range)) {
		if (range.generation != generation) {
			/* A key that is gone has no successor: go on behind one that stays. */
			bpf_map_delete_elem(fd, &range);
		} else {
			kept = range;
			previous = &kept;
		}
	}
}

void range_maps_keep(const struct range_maps *maps, uint32_t generation)
{
	clear_ranges(maps->destinations, generation);
	clear_ranges(maps->excluded, generation);
}
