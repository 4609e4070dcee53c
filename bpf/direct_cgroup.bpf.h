/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_DIRECT_CGROUP_BPF_H
#define SIDELANE_DIRECT_CGROUP_BPF_H

/* Whether a socket belongs to the cgroup that is accelerated. */

#include "direct.bpf.h"
#include "sidelane/direct.h"

#define CGROUP_DEPTH_MAX 32

/* Most sockets have the cgroup of the one before. */
struct {
	__u64 group;
	__u32 inside; /* of the cgroup that is accelerated */
	__u32 left;   /* inside one that is left out */
} last_group;

static __always_inline int is_left(const struct sl_direct_filter *filter, __u64 id)
{
	for (__u32 i = 0; i < SL_FILTER_MAX && i < filter->leave_groups; i++)
		if (filter->leave_group[i] == id)
			return 1;
	return 0;
}

static __noinline int look_at_group(__u64 group, __u64 wanted,
				    const struct sl_direct_filter *filter)
{
	struct cgroup *cgroup = (struct cgroup *)group;
	int level = 0;

	last_group.group = group;
	last_group.inside = last_group.left = 0;
	bpf_core_read(&level, sizeof(level), &cgroup->level);
	for (int i = 0; i < CGROUP_DEPTH_MAX && i <= level; i++) {
		struct cgroup *ancestor = NULL;
		struct kernfs_node *node = NULL;
		__u64 id = 0;

		bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[i]);
		bpf_core_read(&node, sizeof(node), &ancestor->kn);
		bpf_core_read(&id, sizeof(id), &node->id);
		last_group.inside |= id == wanted;
		last_group.left |= is_left(filter, id);
	}
	return 0;
}

static __always_inline int is_inside(struct sock *sk, __u64 wanted,
				     const struct sl_direct_filter *filter)
{
	__u64 group = (__u64)sk->sk_cgrp_data.cgroup;

	if (group != last_group.group)
		look_at_group(group, wanted, filter);
	return last_group.inside;
}

#endif
