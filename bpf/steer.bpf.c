// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Brings connections to a listener of proxyd, whatever local address and port they are for, where
 * the kernel looks for the socket of a SYN: no packet is changed, nothing is tracked.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "ranges.bpf.h"
#include "sidelane/intercept.h"
#include "sidelane/key.h"
#include "sidelane/shared.h"

#define AF_INET        2
#define IPPROTO_TCP    6
#define LOOPBACK_INDEX 1 /* LOOPBACK_IFINDEX, of every network namespace */

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u32 generation = 0;

/* Set by proxyd before the load: what it takes is refused when none of its sockets is there. */
const volatile __u8 closed = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct sl_steering);
} rules SEC(".maps");

/*
 * The listening sockets, of which each worker has one; they go by themselves when they are closed.
 * REUSEPORT_SOCKARRAY would not do: sk_lookup takes its sockets from SOCKMAP alone (6.18,
 * bpf_sk_lookup's verifier). Of the group of one the kernel takes whichever it would have taken.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, SL_WORKERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

static int comes_by(const struct sl_steering *rule, __u32 interface)
{
	if (!rule->interface_count)
		return interface != LOOPBACK_INDEX;
	for (__u32 i = 0; i < SL_INTERFACES_MAX; i++) {
		if (i >= rule->interface_count)
			return 0;
		if (rule->interfaces[i] == interface)
			return 1;
	}
	return 0;
}

static int is_taken(const struct sl_destination *to, __u32 interface)
{
	__u32 now = *(volatile __u32 *)&generation, index = now & 1;
	const struct sl_steering *rule = bpf_map_lookup_elem(&rules, &index);

	if (!rule || !(is_mapped(to->ip) ? rule->takes_ipv4 : rule->takes_ipv6))
		return 0;
	return comes_by(rule, interface) &&
	       is_meant(to, now, rule->any_destination, rule->any_port);
}

static int give(struct bpf_sk_lookup *context)
{
	for (__u32 i = 0; i < SL_WORKERS_MAX; i++) {
		__u32 index = i;
		struct bpf_sock *socket = bpf_map_lookup_elem(&sockets, &index);
		long err;

		if (!socket)
			continue;
		err = bpf_sk_assign(context, socket, 0);
		bpf_sk_release(socket);
		/* Of another family than the packet, for one. */
		if (!err)
			return SK_PASS;
	}
	return closed ? SK_DROP : SK_PASS;
}

/* A function for each family, or the verifier refuses a read through a moved context pointer. */
static __noinline void ipv4_addresses(const struct bpf_sk_lookup *context, __be32 local[4],
				      __be32 remote[4])
{
	sl_map_ipv4(local, context->local_ip4);
	sl_map_ipv4(remote, context->remote_ip4);
}

static __noinline void ipv6_addresses(const struct bpf_sk_lookup *context, __be32 local[4],
				      __be32 remote[4])
{
	for (int i = 0; i < 4; i++) {
		local[i] = context->local_ip6[i];
		remote[i] = context->remote_ip6[i];
	}
}

/*
 * What this host sends to itself seems to come by the interface that has the address (6.18,
 * ip_route_output_key_hash_rcu: orig_oif), though it comes by loopback. It comes from that address
 * too, unless it is bound to another.
 */
static __u32 interface_of(const struct bpf_sk_lookup *context, const __be32 local[4],
			  const __be32 remote[4])
{
	if (local[0] == remote[0] && local[1] == remote[1] && local[2] == remote[2] &&
	    local[3] == remote[3])
		return LOOPBACK_INDEX;
	return context->ingress_ifindex;
}

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *context)
{
	struct sl_destination to = {.port = bpf_htons((__u16)context->local_port)};
	__be32 from[4] = {0};

	/* Another program has chosen already. */
	if (context->protocol != IPPROTO_TCP || context->sk)
		return SK_PASS;
	if (context->family == AF_INET)
		ipv4_addresses(context, to.ip, from);
	else
		ipv6_addresses(context, to.ip, from);
	return is_taken(&to, interface_of(context, to.ip, from)) ? give(context) : SK_PASS;
}
