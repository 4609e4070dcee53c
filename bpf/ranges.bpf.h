/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef RANGES_BPF_H
#define RANGES_BPF_H

/*
 * Which destinations are meant: ranges of addresses and ports, of the generation in force and,
 * while proxyd writes it, the next (intake/ranges.h).
 */

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "sidelane/intercept.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * SL_PORT_WORDS);
	__type(key, __u32);
	__type(value, __u64);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * SL_RANGES_MAX);
	__type(key, struct sl_range);
	__type(value, __u8);
} destinations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * SL_RANGES_MAX);
	__type(key, struct sl_range);
	__type(value, __u8);
} excluded SEC(".maps");

static int is_mapped(const __be32 ip[4])
{
	return !ip[0] && !ip[1] && ip[2] == bpf_htonl(0xffff);
}

static int port_fits(__u32 now, __be16 port)
{
	__u16 number = bpf_ntohs(port);
	__u32 index = (now & 1) * SL_PORT_WORDS + number / 64;
	__u64 *word = bpf_map_lookup_elem(&ports, &index);

	return word && *word >> (number % 64) & 1;
}

static int is_meant(const struct sl_destination *to, __u32 now, __u8 any_destination, __u8 any_port)
{
	struct sl_range range = {.prefixlen = 160, .generation = now};

	__builtin_memcpy(range.ip, to->ip, sizeof(range.ip));
	if (bpf_map_lookup_elem(&excluded, &range))
		return 0;
	if (!any_destination && !bpf_map_lookup_elem(&destinations, &range))
		return 0;
	return any_port || port_fits(now, to->port);
}

#endif
