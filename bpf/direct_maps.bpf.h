/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_DIRECT_MAPS_BPF_H
#define SIDELANE_DIRECT_MAPS_BPF_H

/*
 * What the direct lane's programs share. direct.bpf.c defines the maps; `extern` elsewhere. They
 * are pinned, for they must outlive proxyd (proxyd/direct/lane.h).
 */

#include "direct.bpf.h"
#include "sidelane/offer.h"

#ifndef SL_MAP
#define SL_MAP extern
#endif

/* The enrolled sockets, by cookie. 8-byte values, so that user space can read the cookie back. */
SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, __u64);
} lane SEC(".maps");

SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sl_end);
} ends SEC(".maps");

/* Those of closed sockets are pushed out in time. */
SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct sl_end_key);
	__type(value, struct sl_record);
} records SEC(".maps");

/* Flows that proxyd offers, by the cookie of each of its two sockets. */
SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct sl_offer);
} offers SEC(".maps");

SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sl_direct_totals);
} totals SEC(".maps");

/* The kernel's TCP, or the memory cgroup of the socket, is short of memory. */
static __always_inline int pressed(struct sock *sk)
{
	unsigned long *global = sk->__sk_common.skc_prot->memory_pressure;
	struct mem_cgroup *group = sk->sk_memcg;
	unsigned long under_pressure = 0;

	bpf_core_read(&under_pressure, sizeof(under_pressure), global);
	if (under_pressure)
		return 1;
	return group && (group->tcpmem_pressure || group->socket_pressure > bpf_jiffies64());
}

static __always_inline int is_blocking(struct sock *sk)
{
	struct socket *socket = sk->sk_socket;

	return !(socket && socket->file && socket->file->f_flags & O_NONBLOCK);
}

#endif
