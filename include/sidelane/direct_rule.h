/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_DIRECT_RULE_H
#define SIDELANE_DIRECT_RULE_H

/* Whether a message goes straight into the receiver's queue: the one rule, and the bound. */

#include <linux/types.h>

/* At most so many bytes wait in a receiver's direct queue; past it TCP holds the sender. */
#define SL_DIRECT_WINDOW (64U * 1024)

/*
 * Nor so many messages: each takes about 1 KiB of the kernel's memory that is in nobody's account,
 * however short it is (struct sk_msg, 6.18: room for 17 pages).
 */
#define SL_DIRECT_MESSAGES 128

/* The two ends at the time of one message. */
struct sl_direct_view {
	__u32 written;  /* sender's write_seq, in the receiver's numbers: where its next byte by TCP
			   would go */
	__u32 read;     /* receiver's copied_seq: up to where it has read what came by TCP */
	__u32 queued;   /* receiver's sk_rmem_alloc: bytes that wait in its queues */
	__u32 room;     /* receiver's sk_rcvbuf */
	__u32 size;     /* of the message */
	__u32 messages; /* that went direct since the receiver's queues were last seen empty */
	__u32 hindered; /* other than 0: an end is closing, blocking, locked, short of memory */
};

enum sl_direct_verdict {
	SL_DIRECT_GO,       /* into the receiver's queue */
	SL_DIRECT_HINDERED, /* these pass: by TCP */
	SL_DIRECT_UNREAD,
	SL_DIRECT_FULL,
};

/*
 * A message goes direct only when every byte of its direction that went by TCP was read by the
 * receiving application. Both ends of a connection count in the same sequence numbers, so that is
 * one comparison; bytes that go direct take none. Through a proxy the numbers differ by where each
 * began (sl_offer_shift()). The other way round needs no check: a receiver's direct queue is read
 * before its TCP queue (tcp_bpf_recvmsg, 6.18).
 */
static inline enum sl_direct_verdict sl_direct_rule(const struct sl_direct_view *view)
{
	__u32 bound = view->room / 2 < SL_DIRECT_WINDOW ? view->room / 2 : SL_DIRECT_WINDOW;

	if (view->hindered)
		return SL_DIRECT_HINDERED;
	if (view->written != view->read)
		return SL_DIRECT_UNREAD;
	if (view->queued > bound || view->size > bound - view->queued ||
	    view->messages >= SL_DIRECT_MESSAGES)
		return SL_DIRECT_FULL;
	return SL_DIRECT_GO;
}

#endif
