/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_DIRECT_MEMBERS_BPF_H
#define SIDELANE_DIRECT_MEMBERS_BPF_H

/* Into the socket map and out of it, under the socket's lock. */

#include "direct_maps.bpf.h"
#include "direct_readers.bpf.h"

/* What the socket map has put on an enrolled socket. SK_USER_DATA_PTRMASK: the low bits are flags.
 */
static __always_inline struct sk_psock *psock_of(struct sock *sk)
{
	return (struct sk_psock *)((__u64)sk->sk_user_data & ~7ULL);
}

static __always_inline int references_to(struct sk_psock *psock)
{
	int references = 0;

	bpf_core_read(&references, sizeof(references), &psock->refcnt.refs.counter);
	return references;
}

static __always_inline void look_at_psock(struct sock *sk, struct sl_visit *visit)
{
	struct sk_psock *psock = psock_of(sk);
	struct list_head *first = NULL;
	__u32 delayed = 0;

	if (!psock)
		return;
	bpf_core_read(&first, sizeof(first), &psock->ingress_msg.next);
	bpf_core_read(&delayed, sizeof(delayed), &psock->ingress_skb.qlen);
	visit->busy = references_to(psock) != 1;
	visit->unread |= delayed || first != &psock->ingress_msg;
}

/*
 * To stay there only if no recv has begun before. Nothing reaches the socket's queues as long as
 * its lock is held: it can be taken out again.
 */
static __always_inline void enrol(struct tcp_sock *tcp, struct sl_end *end,
				  const struct sl_record *other)
{
	struct socket *socket = ((struct sock *)tcp)->sk_socket;
	__u64 file = 0, cookie = end->cookie;

	/* As a number, for functions that the verifier looks at by themselves. */
	bpf_core_read(&file, sizeof(file), &socket->file);
	if (!may_enter(end, file)) {
		sl_end_refused(end);
	} else if (bpf_map_update_elem(&lane, &cookie, tcp, BPF_NOEXIST)) {
		end->reason = SL_REASON_NO_ROOM;
	} else if (!all_have_left(end, file)) {
		bpf_map_delete_elem(&lane, &cookie);
		sl_end_refused(end);
	} else {
		sl_end_enrolled(end, other->cookie, other->sock);
	}
}

/*
 * A recv that has the psock already and waits for the lock goes on with that. With `mend` it finds
 * that TCP's queue has bytes and says EAGAIN (tcp_bpf_recvmsg_parser, 6.18); their arrival has
 * woken the application again. Without, it looks into both queues (tcp_bpf_recvmsg).
 */
static __always_inline void take_out(struct sl_end *end)
{
	__u64 cookie = end->cookie;

	bpf_map_delete_elem(&lane, &cookie);
	sl_end_left(end);
}

#endif
