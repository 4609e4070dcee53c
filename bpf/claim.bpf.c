// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Lists the claims of all proxyds (proxyd/intake/claim.c). A claim is what a map of its own holds,
 * whose only descriptor is its proxyd's: it is gone when that process is, however it ends.
 *
 * A queue, because it takes CAP_BPF to make one, even where users may make other maps
 * (kernel.unprivileged_bpf_disabled=0).
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "sidelane/intercept.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct bpf_map {
	enum bpf_map_type map_type;
	__u32 value_size;
	char name[BPF_OBJ_NAME_LEN];
};

struct bpf_queue_stack {
	__u32 head;
	char elements[];
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__bpf_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
};

#pragma clang attribute pop

static int is_claim(const struct bpf_map *map)
{
	const char name[BPF_OBJ_NAME_LEN] = SL_CLAIM_MAP;

	if (map->map_type != BPF_MAP_TYPE_QUEUE || map->value_size != sizeof(struct sl_claim))
		return 0;
	for (__u32 i = 0; i < BPF_OBJ_NAME_LEN; i++)
		if (map->name[i] != name[i])
			return 0;
	return 1;
}

SEC("iter/bpf_map")
int list_claims(struct bpf_iter__bpf_map *context)
{
	const struct bpf_map *map = context->map;
	struct sl_claim claim;

	if (!map || !is_claim(map))
		return 0;
	/* A queue begins with its map, and its one value stands first in it (6.18). */
	if (!bpf_probe_read_kernel(&claim, sizeof(claim),
				   ((const struct bpf_queue_stack *)map)->elements))
		bpf_seq_write(context->meta->seq, &claim, sizeof(claim));
	return 0;
}
