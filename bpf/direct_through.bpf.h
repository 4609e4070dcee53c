/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_DIRECT_THROUGH_BPF_H
#define SIDELANE_DIRECT_THROUGH_BPF_H

/* What the scan knows of flows that proxyd offers (include/sidelane/offer.h). */

#include "direct_maps.bpf.h"

/* Cookies of the sockets that are offered, by their numbers. Those of closed ones are pushed out.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct sl_end_key);
	__type(value, __u64);
} offered SEC(".maps");

static __always_inline struct sl_end_key key_of(struct sock *sk, struct tcp_sock *tcp)
{
	struct sl_end_key key = {
		.netns = sk->__sk_common.skc_net.net->net_cookie,
		.first_in = tcp->rcv_nxt - (__u32)tcp->bytes_received,
		.first_out = tcp->snd_una - (__u32)tcp->bytes_acked,
	};

	return key;
}

/* proxyd's own socket of a flow that it offers: note its numbers. */
static __always_inline int is_offered(struct sock *sk, struct tcp_sock *tcp)
{
	__u64 cookie = bpf_get_socket_cookie(tcp);
	struct sl_offer *offer = bpf_map_lookup_elem(&offers, &cookie);
	struct sl_end_key key;

	if (!offer)
		return 0;
	if (!offer->seen_ns) {
		key = key_of(sk, tcp);
		offer->key = key;
		bpf_map_update_elem(&offered, &key, &cookie, BPF_ANY);
	}
	offer->seen_ns = bpf_ktime_get_ns();
	return 1;
}

/* The key of the offer whose near end this is, or 0. */
static __always_inline __u64 offer_of(struct sock *sk, struct tcp_sock *tcp)
{
	struct sl_end_key key = key_of(sk, tcp), mirror = sl_end_key_mirror(&key, 1);
	__u64 *cookie = bpf_map_lookup_elem(&offered, &mirror);

	if (!cookie) {
		mirror = sl_end_key_mirror(&key, 0);
		cookie = bpf_map_lookup_elem(&offered, &mirror);
	}
	return cookie && bpf_map_lookup_elem(&offers, cookie) ? *cookie : 0;
}

/* Tell proxyd of the near end. */
static __always_inline void tell(const struct sl_end *end)
{
	struct sl_offer *offer = bpf_map_lookup_elem(&offers, &end->offer);

	if (offer)
		offer->reason = end->reason;
}

/*
 * The key of the other end, by way of the proxy's two sockets if both were seen since `fresh_ns`,
 * and how much further the sender's numbers are than those of that end. Returns whether there is
 * one.
 */
static __always_inline int through(__u64 cookie, __u64 fresh_ns, struct sl_end_key *key,
				   __u32 *shift)
{
	struct sl_offer *near = bpf_map_lookup_elem(&offers, &cookie), *far;
	__u64 other;

	if (!near || near->seen_ns < fresh_ns)
		return 0;
	other = near->other;
	far = bpf_map_lookup_elem(&offers, &other);
	if (!far || far->seen_ns < fresh_ns)
		return 0;
	*key = sl_offer_near(far);
	*shift = sl_offer_shift(near, key);
	return 1;
}

#endif
