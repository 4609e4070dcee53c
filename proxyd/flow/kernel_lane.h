/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_KERNEL_LANE_H
#define PROXYD_KERNEL_LANE_H

/*
 * The kernel lane as a whole: loads and attaches the programs. The workers use it by way of their
 * splicers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sidelane/shared.h"

/* How sk_skb programs are attached. */
enum skb_hook {
	SKB_HOOK_VERDICT, /* verdict only (BPF_SK_SKB_VERDICT, 5.13): the default, see
			     docs/kernel.md */
	SKB_HOOK_PARSER,  /* stream parser and stream verdict (4.14) */
};

struct kernel_lane_options {
	uint32_t workers;   /* at most SL_WORKERS_MAX */
	uint32_t flows_max; /* that may be in the lane at once */
	uint32_t window;    /* kernel memory that a direction may hold, bytes */
	int cgroup;         /* whose sockets sock_ops enrols at ESTABLISHED; -1: proxyd enrols */
	enum skb_hook hook;
	bool watch; /* send SL_EVENT_SMALL_WRITES */
};

/* What a loaded lane is made of; the fields are for the splicers, which work on its maps. */
struct kernel_lane {
	struct kernel_lane_options options;
	struct sidelane *programs;
	struct bpf_link *sock_ops;      /* NULL: proxyd enrols */
	struct sl_published *published; /* the map's memory */
	size_t published_size;
	int sockets, ledgers, peers, wakeups; /* maps */
	uint32_t pairs_per_worker;
	bool unsent_limited; /* net.ipv4.tcp_notsent_lowat is set */
};

/*
 * Load the programs and attach them. Needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. Nothing is
 * pinned: all of it goes away with the process, however it ends. Returns 0 or -errno of the step
 * that failed, with its name in *step.
 */
int kernel_lane_new(const struct kernel_lane_options *options, struct kernel_lane **out,
		    const char **step);
void kernel_lane_free(struct kernel_lane *lane);

/* The programs' sums over all CPUs. Returns 0 or -errno. */
int kernel_lane_totals(const struct kernel_lane *lane, struct sl_totals *sums);

/* Whether sock_ops enrols sockets at ESTABLISHED. `lane` may be NULL. */
static inline bool kernel_lane_enrols(const struct kernel_lane *lane)
{
	return lane && lane->sock_ops;
}

/*
 * Have sock_ops enrol this listening socket's connections, or this not yet connected socket, and
 * size the send buffer for it. Returns 0 or -errno; a socket that is not claimed is enrolled from
 * user space by splicer_pair().
 */
int kernel_lane_claim(const struct kernel_lane *lane, int fd);

/*
 * Close a socket that was never paired, and drop what sock_ops keeps for it, as it may have
 * enrolled it. `lane` may be NULL.
 */
void kernel_lane_close(const struct kernel_lane *lane, int fd);

/*
 * Size a socket's send buffer for what the verdict program may send it. Returns 0 or -errno;
 * needs CAP_NET_ADMIN.
 */
int kernel_lane_size_buffer(const struct kernel_lane *lane, int fd);

#endif
