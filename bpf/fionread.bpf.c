// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What proxyd/direct/fionread.c tries out: the direct lane's hooks, without its rules. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u32 receiver = 1; /* the sender is the other one of two */
__u32 direct = 0;   /* messages go direct */

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} sockets SEC(".maps");

SEC("sk_msg")
int forward(struct sk_msg_md *msg)
{
	__u32 key = receiver;

	return direct ? (int)bpf_msg_redirect_hash(msg, &sockets, &key, BPF_F_INGRESS) : SK_PASS;
}

SEC("sk_skb")
int pass(struct __sk_buff *skb __attribute__((unused)))
{
	return SK_PASS;
}
