/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_MAPS_BPF_H
#define SIDELANE_MAPS_BPF_H

/*
 * The maps, as every program sees them. splice.bpf.c defines them; `extern` elsewhere. proxyd
 * sets max_entries before it loads them (kernel_lane.c).
 */

#include "sidelane/shared.h"

#ifndef SL_MAP
#define SL_MAP extern
#endif

/* The enrolled sockets. 8-byte values, so that user space can read a socket's cookie back. */
SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, struct sl_key);
	__type(value, __u64);
} sockets SEC(".maps");

/* By source cookie. An entry lives exactly as long as the socket is enrolled. */
SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct sl_ledger);
} ledgers SEC(".maps");

/* By source cookie. An entry lives from pairing to the flow's end. */
SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct sl_peer);
} peers SEC(".maps");

/* By slot: proxyd's half of each ledger, written through mmap, without a system call. */
SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sl_published);
} published SEC(".maps");

SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sl_totals);
} totals SEC(".maps");

/*
 * Which sockets are the proxy's, among all of the cgroup. proxyd puts its listening and its
 * upstream sockets here; a socket that is accepted inherits it from the listening one.
 */
SL_MAP struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u8);
} proxied SEC(".maps");

#endif
