// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * sock_ops on the cgroup that holds proxyd: enrols the proxy's sockets at ESTABLISHED, before a
 * byte was read, so that the verdict program counts every byte from the first.
 */
#include <linux/bpf.h>
#include <stddef.h>
#include <bpf/bpf_helpers.h>

#include "maps.bpf.h"

#define AF_INET  2
#define AF_INET6 10

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * A function for each family: in one function clang merges the tails of the branches into a read
 * through a moved context pointer, which the verifier refuses.
 */
static __noinline void ipv4_addresses(struct bpf_sock_ops *ops, struct sl_key *key)
{
	sl_map_ipv4(key->local_ip, ops->local_ip4);
	sl_map_ipv4(key->remote_ip, ops->remote_ip4);
}

static __noinline void ipv6_addresses(struct bpf_sock_ops *ops, struct sl_key *key)
{
	for (int i = 0; i < 4; i++) {
		key->local_ip[i] = ops->local_ip6[i];
		key->remote_ip[i] = ops->remote_ip6[i];
	}
}

/* The ledger first: a socket must never meet the verdict program without one. */
static int enrol_socket(struct bpf_sock_ops *ops)
{
	struct sl_ledger ledger = {};
	struct sl_key *key = &ledger.key;

	key->cookie = bpf_get_socket_cookie(ops);
	if (ops->family == AF_INET)
		ipv4_addresses(ops, key);
	else
		ipv6_addresses(ops, key);
	key->local_port = sl_port_of_sock_ops_local(ops->local_port);
	key->remote_port = sl_port_of_sock_ops_remote(ops->remote_port);
	if (bpf_map_update_elem(&ledgers, &key->cookie, &ledger, BPF_NOEXIST))
		return -1;
	if (bpf_sock_hash_update(ops, &sockets, key, BPF_NOEXIST)) {
		bpf_map_delete_elem(&ledgers, &key->cookie);
		return -1;
	}
	return 0;
}

SEC("sockops")
int enrol(struct bpf_sock_ops *ops)
{
	struct bpf_sock *socket = ops->sk;
	struct sl_totals *sums;
	__u32 zero = 0;

	if (ops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
	    ops->op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB)
		return 1;
	if (ops->family != AF_INET && ops->family != AF_INET6)
		return 1;
	if (!socket || !bpf_sk_storage_get(&proxied, socket, NULL, 0))
		return 1;
	sums = bpf_map_lookup_elem(&totals, &zero);
	if (enrol_socket(ops)) {
		if (sums)
			sums->not_enrolled++;
	} else if (sums) {
		sums->enrolled++;
	}
	return 1;
}
