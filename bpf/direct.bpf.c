// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * sk_msg: decides on each message that an enrolled socket sends whether it goes straight into the
 * queue of the connection's other end (include/sidelane/direct_rule.h), under the sender's lock.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define SL_MAP
#include "direct_maps.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

extern void *bpf_rdonly_cast(const void *object, __u32 btf_id) __ksym; /* 6.2 */

/* The sender's part: under its lock. A ULP (TLS) has plain bytes here that it will encrypt. */
static __always_inline int sender_hindered(struct tcp_sock *tcp)
{
	struct sock *sk = (struct sock *)tcp;
	unsigned long flags = sk->__sk_common.skc_flags;

	return tcp->inet_conn.icsk_ulp_ops || sk->__sk_common.skc_state != TCP_ESTABLISHED ||
	       sk->sk_shutdown || flags & 1UL << SOCK_ZEROCOPY || sk->sk_tsflags;
}

/*
 * The receiver's part, without its lock: an application that changes these while another one sends
 * to it cannot know which came first. A message for which memory is set aside needs no more
 * (__sk_rmem_schedule, 6.18). While a call of its application has the lock the sender would sleep
 * for it, uninterruptibly (bpf_tcp_ingress, 6.18): TCP has a backlog instead. What is left is a
 * call that begins right after this look.
 */
static __always_inline int receiver_hindered(struct tcp_sock *tcp, __u32 size)
{
	struct sock *sk = (struct sock *)tcp;
	unsigned long flags = sk->__sk_common.skc_flags;

	return sk->sk_lock.owned || tcp->inet_conn.icsk_ulp_ops ||
	       sk->__sk_common.skc_state != TCP_ESTABLISHED || sk->sk_shutdown || is_blocking(sk) ||
	       sk->sk_rcvlowat > 1 || flags & (1UL << SOCK_URGINLINE | 1UL << SOCK_RCVTSTAMP) ||
	       (sk->sk_forward_alloc < (int)size && pressed(sk));
}

static __always_inline enum sl_direct_verdict decide(struct sk_msg_md *msg, struct sl_end *end)
{
	struct tcp_sock *sender = bpf_skc_to_tcp_sock(msg->sk);
	struct tcp_sock *receiver;
	struct sl_direct_view view = {.size = msg->size};

	if (!sender)
		return SL_DIRECT_HINDERED;
	/*
	 * Only an address, maybe of a socket that is gone: the reads are fault-safe, and the
	 * look-up by cookie that follows finds the socket only if it was there all the time.
	 */
	receiver =
		bpf_rdonly_cast((void *)end->peer_sock, bpf_core_type_id_kernel(struct tcp_sock));
	view.written = sender->write_seq - end->shift;
	view.read = *(volatile __u32 *)&receiver->copied_seq;
	view.queued = ((struct sock *)receiver)->sk_backlog.rmem_alloc.counter;
	view.room = ((struct sock *)receiver)->sk_rcvbuf;
	if (!view.queued)
		end->messages = 0;
	view.messages = end->messages;
	view.hindered = sender_hindered(sender) || receiver_hindered(receiver, view.size);
	return sl_direct_rule(&view);
}

/* proxyd sees nothing of the message, and goes by this. */
static __always_inline void count_through(const struct sl_end *end, struct sl_direct_totals *sums,
					  __u32 size)
{
	struct sl_offer *offer = bpf_map_lookup_elem(&offers, &end->offer);

	if (!offer)
		return;
	offer->active_ns = bpf_ktime_get_coarse_ns();
	offer->bytes += size;
	sums->through[offer->side & 1] += size;
}

SEC("sk_msg")
int verdict(struct sk_msg_md *msg)
{
	struct bpf_sock *sk = msg->sk;
	struct sl_direct_totals *sums;
	enum sl_direct_verdict choice;
	struct sl_end *end;
	__u32 zero = 0;

	if (!sk)
		return SK_PASS;
	end = bpf_sk_storage_get(&ends, sk, NULL, 0);
	if (!end)
		return SK_PASS;
	sums = bpf_map_lookup_elem(&totals, &zero);
	if (!sums)
		return SK_PASS;
	choice = end->on ? decide(msg, end) : SL_DIRECT_HINDERED;
	if (choice == SL_DIRECT_GO) {
		__u64 peer = end->peer;

		if (bpf_msg_redirect_hash(msg, &lane, &peer, BPF_F_INGRESS) == SK_PASS) {
			end->shares.direct += msg->size;
			end->messages++;
			sums->direct += msg->size;
			sums->messages[SL_DIRECT_GO]++;
			if (end->offer)
				count_through(end, sums, msg->size);
			return SK_PASS;
		}
		/* The answer SK_DROP would lose the message; the helper has set nothing. */
		sums->vanished++;
		choice = SL_DIRECT_HINDERED;
	}
	end->shares.passed += msg->size;
	sums->passed += msg->size;
	sums->messages[choice & 3]++;
	return SK_PASS;
}

/*
 * sk_skb: passes everything. Attached where FIONREAD does not count what comes by TCP unless a
 * verdict has moved it to the direct queue (tcp_bpf_ioctl, 6.18.14; see direct/fionread.h).
 */
SEC("sk_skb")
int mend(struct __sk_buff *skb __attribute__((unused)))
{
	return SK_PASS;
}
