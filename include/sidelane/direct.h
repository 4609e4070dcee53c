/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_DIRECT_H
#define SIDELANE_DIRECT_H

/*
 * The direct lane: between two sockets of this host that are the ends of one TCP connection, a
 * message goes straight from the sender into the receiver's queue (sk_msg, BPF_F_INGRESS). Here is
 * what is decided, as pure functions of what was observed; bpf/direct.bpf.c observes.
 *
 * Two programs use it. The verdict decides for each message whether it goes direct, under the
 * sender's lock. The scan (bpf_iter/tcp) visits every socket of a network namespace from time to
 * time, each under its lock, and decides who is enrolled, who is switched on, who leaves.
 */

#include <linux/types.h>

#include "sidelane/direct_rule.h"

/* --- Who may take part ----------------------------------------------------------------------- */

/* Why a socket is not in the lane, in the order in which it is asked. */
enum sl_direct_reason {
	SL_REASON_NONE,     /* it is */
	SL_REASON_STOPPING, /* acceleration is being stopped */
	SL_REASON_FILTERED, /* by port, address or uid */
	SL_REASON_EXISTING, /* was there before acceleration began, without --existing */
	SL_REASON_STATE,    /* not ESTABLISHED, or half-closed */
	SL_REASON_NOT_ACCEPTED,
	SL_REASON_PROTOCOL,    /* MPTCP, kernel TLS, or in another program's socket map */
	SL_REASON_BLOCKING,    /* a blocking read of an enrolled socket may return EAGAIN */
	SL_REASON_LOWAT,       /* SO_RCVLOWAT would be ignored */
	SL_REASON_ZEROCOPY,    /* MSG_ZEROCOPY would never be completed */
	SL_REASON_TIMESTAMPS,  /* would be missing */
	SL_REASON_URGENT,      /* the mark would be lost */
	SL_REASON_SOCK_FILTER, /* SO_ATTACH_FILTER would not see the bytes */
	SL_REASON_OPTION,      /* TCP_INQ, TCP_REPAIR or SO_PEEK_OFF */
	SL_REASON_MEMORY,      /* the kernel's TCP is short of memory */
	SL_REASON_TRAFFIC,     /* no dialogue, or not long enough: the lane would not pay */
	SL_REASON_PROGRAM,     /* a program holds it that is not known to read with recv alone */
	SL_REASON_TRANSLATED,  /* by NAT, which forgets a connection that TCP does not show it */
	SL_REASON_NO_PEER,     /* the other end is not here, or does not qualify itself */
	SL_REASON_NO_ROOM,     /* the socket map is full, or refuses it */
	SL_REASON_READING,     /* a thread that holds it may be on its way into a recv */
	SL_REASON_LEAVING,     /* taken out as soon as nothing is under way */
	SL_REASONS,
};

/* Of one socket, as a visit found it. All but `lowat` are 0 or 1. */
struct sl_direct_facts {
	__u8 established; /* and neither side has shut down */
	__u8 accepted;    /* an application has a descriptor of it */
	__u8 plain;       /* its operations are TCP's own, or ours */
	__u8 blocking;    /* no O_NONBLOCK */
	__u8 zerocopy;
	__u8 timestamps;
	__u8 urgent; /* SO_OOBINLINE, or urgent bytes were received */
	__u8 sock_filter;
	__u8 option;
	__u8 pressure;
	__s32 lowat;
};

static inline enum sl_direct_reason sl_direct_eligible(const struct sl_direct_facts *facts)
{
	if (!facts->established)
		return SL_REASON_STATE;
	if (!facts->accepted)
		return SL_REASON_NOT_ACCEPTED;
	if (!facts->plain)
		return SL_REASON_PROTOCOL;
	if (facts->blocking)
		return SL_REASON_BLOCKING;
	if (facts->lowat > 1)
		return SL_REASON_LOWAT;
	if (facts->zerocopy)
		return SL_REASON_ZEROCOPY;
	if (facts->timestamps)
		return SL_REASON_TIMESTAMPS;
	if (facts->urgent)
		return SL_REASON_URGENT;
	if (facts->sock_filter)
		return SL_REASON_SOCK_FILTER;
	if (facts->option)
		return SL_REASON_OPTION;
	if (facts->pressure)
		return SL_REASON_MEMORY;
	return SL_REASON_NONE;
}

/* --- What pays -------------------------------------------------------------------------------- */

/*
 * A message of a dialogue gains what TCP costs it; bulk gains nothing and pays for the
 * verdict and the copying of tcp_bpf_sendmsg. So a connection is enrolled after a sample of so
 * many turns with few bytes a turn, and leaves when most of its bytes go by TCP all the same.
 */
#define SL_DIALOGUE_TURNS 24
#define SL_DIALOGUE_BYTES (16ULL * 1024) /* a turn, both directions */

/* A socket's counters where the sample began. Segments are those with payload. */
struct sl_dialogue {
	__u64 bytes;
	__u32 in, out;
};

enum sl_dialogue_result {
	SL_DIALOGUE_OPEN, /* too few turns to tell */
	SL_DIALOGUE_YES,
	SL_DIALOGUE_NO,
};

/* A sample that is told begins anew. */
static inline enum sl_dialogue_result sl_dialogue_sample(struct sl_dialogue *sample,
							 const struct sl_dialogue *now)
{
	__u32 in = now->in - sample->in, out = now->out - sample->out;
	__u32 turns = in < out ? in : out;

	__u64 bytes = now->bytes - sample->bytes;

	if (turns < SL_DIALOGUE_TURNS && bytes <= SL_DIALOGUE_TURNS * SL_DIALOGUE_BYTES)
		return SL_DIALOGUE_OPEN;
	*sample = *now;
	return bytes <= turns * SL_DIALOGUE_BYTES ? SL_DIALOGUE_YES : SL_DIALOGUE_NO;
}

/* Bytes that an enrolled socket has sent, and those at the last sample. */
struct sl_shares {
	__u64 direct, passed;
};

/* Whether most of what was sent since the last sample went by TCP, if it was much. */
static inline int sl_shares_bulk(struct sl_shares *sample, const struct sl_shares *now)
{
	__u64 direct = now->direct - sample->direct, passed = now->passed - sample->passed;

	if (direct + passed < SL_DIALOGUE_TURNS * SL_DIALOGUE_BYTES)
		return 0;
	*sample = *now;
	return passed > direct;
}

/* --- The life of an end ---------------------------------------------------------------------- */

/*
 *   WATCHED --dialogue--> WANTED --other end wanted too--> ENROLLED --> LEAVING --+
 *      ^                    |                                                     |
 *      +--------------------+-----------------------------------------------------+
 *
 * Each end goes this way by itself, visit by visit; it knows the other one by the record that
 * the other one's last visit left behind.
 */
enum sl_end_state {
	SL_END_WATCHED,  /* not in the socket map */
	SL_END_WANTED,   /* neither: waits for the other end */
	SL_END_ENROLLED, /* in the socket map; its messages go direct when `on` */
	SL_END_LEAVING,  /* in the socket map; every message of it goes by TCP */
};

/* How an end is found by its other end. Both of a connection live in one network namespace. */
struct sl_end_key {
	__u64 netns;     /* cookie of the namespace */
	__u32 first_in;  /* sequence number of the first byte that it receives */
	__u32 first_out; /* of the first byte that it sends, less 1 at the end that has connected */
};

/*
 * The key of the other end, which has its numbers mirrored. `connected`: if this is the end
 * that has connected, whose bytes_acked counts the SYN (tcp_rcv_synsent_state_process, 6.18), so
 * that snd_una - bytes_acked is one less than the number of its first byte.
 */
static inline struct sl_end_key sl_end_key_mirror(const struct sl_end_key *key, int connected)
{
	struct sl_end_key mirror = {
		.netns = key->netns,
		.first_in = key->first_out + (connected ? 1 : 0),
		.first_out = key->first_in - (connected ? 0 : 1),
	};

	return mirror;
}

/* Of a connection's end, in host byte order but for the addresses. */
struct sl_direct_subject {
	__be32 local_ip[4], remote_ip[4];
	__u32 uid;
	__u16 local_port, remote_port;
};

/*
 * Whether each of two ends has the other's address. Their numbers have told that they belong
 * together; if their addresses do not, something between them translates.
 */
static inline int sl_subjects_mirrored(const struct sl_direct_subject *one,
				       const struct sl_direct_subject *other)
{
	__be32 different = 0;

	for (int i = 0; i < 4; i++)
		different |= (one->local_ip[i] ^ other->remote_ip[i]) |
			     (one->remote_ip[i] ^ other->local_ip[i]);
	return !different && one->local_port == other->remote_port &&
	       one->remote_port == other->local_port;
}

/* What an end's visit leaves for the other end's. */
struct sl_record {
	__u64 cookie;
	__u64 sock; /* address of its struct sock */
	__u64 seen_ns;
	__u32 state;  /* enum sl_end_state */
	__u32 silent; /* LEAVING, and no message of it is on its way to the other end's queue */
	struct sl_direct_subject subject;
};

/* A descriptor of a socket, and a thread in whose table it is. */
struct sl_holder {
	__s32 pid, tgid;
	__u32 fd;
};

/* Descriptors that a socket may have and yet be enrolled. */
#define SL_HOLDERS 4

struct sl_end {
	/* Written by the scan alone. */
	__u64 cookie;
	__u64 peer;      /* the other end's cookie: its key in the socket map */
	__u64 peer_sock; /* address of its struct sock */
	__u64 offer;     /* key of its offer, through a proxy; else 0 */
	__u32 shift;     /* sl_offer_shift(); 0 where there is no proxy */
	__u32 state;     /* enum sl_end_state */
	__u32 on;        /* messages may go direct */
	__u32 silent;    /* as in the record */
	__u32 visits;    /* in this state */
	__u32 rest;      /* visits until it may be wanted again */
	__u32 rests;     /* how often it has left: each rest is twice as long as the one before */
	__u32 reason;    /* enum sl_direct_reason, as of the last visit */
	__u32 connected; /* argument of sl_end_key_mirror() that found the other end */
	__u32 old;       /* SL_REASON_EXISTING */
	__u32 waits;     /* LEAVING: enum sl_waits, as of the last visit */
	struct sl_dialogue dialogue;
	struct sl_shares sampled;
	/* Written by the verdict alone, under the socket's lock. */
	struct sl_shares shares;
	__u32 messages; /* that went direct since the receiver's queues were last seen empty */
	/* Written by the pass over all descriptors: when it last found an owner, and a stranger. */
	__u32 owned, strange;
	__u32 holders; /* descriptors that it has found, SL_HOLDERS + 1 for more */
	struct sl_holder holder[SL_HOLDERS];
};

static inline void sl_end_held(struct sl_end *end, const struct sl_holder *holder)
{
	if (end->holders < SL_HOLDERS)
		end->holder[end->holders] = *holder;
	if (end->holders <= SL_HOLDERS)
		end->holders++;
}

/* What an end that leaves waits for. */
enum sl_waits {
	SL_WAITS_READER = 1, /* its application has not read all that came direct */
	SL_WAITS_CALL = 2,   /* a call of its application is going on */
	SL_WAITS_OTHER = 4,  /* the other end may still send direct */
};

/* What a visit found. */
struct sl_visit {
	__u32 reason;   /* enum sl_direct_reason: why it may not take part, or SL_REASON_NONE */
	__u32 dialogue; /* enum sl_dialogue_result */
	__u32 bulk;     /* sl_shares_bulk(), while it is on */
	__u32 busy;     /* ENROLLED, LEAVING: a call on the socket is going on */
	__u32 unread;   /* bytes wait in its direct queue; where that is mended, in any of its */
	__u32 ended;    /* the connection is over from the other end's side */
	__u32 met;      /* the other end was seen lately, and its record says: */
	__u32 state;    /* enum sl_end_state */
	__u32 silent;
};

enum sl_act {
	SL_STAY,
	SL_ENROL, /* put it into the socket map, then sl_end_enrolled() */
	SL_LEAVE, /* take it out, then sl_end_left() */
};

/* Visits that an enrolled end waits for the other end before it gives up. */
#define SL_PATIENCE 20

/* Nothing of this end will ever reach the other one's direct queue unless it is enrolled anew. */
static inline int sl_other_silent(const struct sl_visit *visit)
{
	return visit->state < SL_END_ENROLLED || (visit->state == SL_END_LEAVING && visit->silent);
}

static inline int sl_other_willing(const struct sl_visit *visit)
{
	return visit->met && (visit->state == SL_END_WANTED || visit->state == SL_END_ENROLLED);
}

static inline void sl_end_enter(struct sl_end *end, enum sl_end_state state)
{
	end->state = state;
	end->visits = 0;
	end->on = 0;
	end->silent = 0;
}

static inline enum sl_act sl_end_wanted(struct sl_end *end, const struct sl_visit *visit)
{
	if (visit->reason != SL_REASON_NONE) {
		sl_end_enter(end, SL_END_WATCHED);
		return SL_STAY;
	}
	/* What waits already is not moved, and goes wrong where a part was read (mend, 6.18). */
	return sl_other_willing(visit) && !visit->unread ? SL_ENROL : SL_STAY;
}

static inline enum sl_act sl_end_watched(struct sl_end *end, const struct sl_visit *visit)
{
	if (end->rest) {
		end->rest--;
		return SL_STAY;
	}
	if (visit->reason != SL_REASON_NONE || visit->dialogue != SL_DIALOGUE_YES)
		return SL_STAY;
	sl_end_enter(end, SL_END_WANTED);
	return sl_end_wanted(end, visit);
}

/*
 * An end may be taken out of the map when nothing waits in its direct queue and nothing can come
 * any more: what waits would be lost, and a message on its way would fail (sk_psock_drop,
 * sk_psock_queue_msg, tcp_bpf_sendmsg_redir; 6.18). Nothing can come when the other end is silent:
 * it is switched off, and was found without a call going on since, under its lock, so that
 * every later message has met the switch. An end that is gone sends nothing either.
 */
static inline enum sl_act sl_end_leaving(struct sl_end *end, const struct sl_visit *visit)
{
	int quiet = visit->met ? sl_other_silent(visit) : !!visit->ended;

	if (!visit->busy)
		end->silent = 1;
	end->waits = (visit->unread ? SL_WAITS_READER : 0) | (end->silent ? 0 : SL_WAITS_CALL) |
		     (quiet ? 0 : SL_WAITS_OTHER);
	return end->waits ? SL_STAY : SL_LEAVE;
}

static inline enum sl_act sl_end_in_lane(struct sl_end *end, const struct sl_visit *visit)
{
	int both = visit->met && visit->state == SL_END_ENROLLED;
	int pairing = sl_other_willing(visit) && end->visits < SL_PATIENCE;

	if (visit->reason == SL_REASON_NONE && !visit->bulk && (both || pairing)) {
		/* What was sent before went by TCP in any case. */
		if (!end->on)
			end->sampled = end->shares;
		end->on = (__u32)both;
		return SL_STAY;
	}
	sl_end_enter(end, SL_END_LEAVING);
	return sl_end_leaving(end, visit);
}

/* One visit. */
static inline enum sl_act sl_end_visit(struct sl_end *end, const struct sl_visit *visit)
{
	end->visits++;
	switch (end->state) {
	case SL_END_WATCHED:
		return sl_end_watched(end, visit);
	case SL_END_WANTED:
		return sl_end_wanted(end, visit);
	case SL_END_ENROLLED:
		return sl_end_in_lane(end, visit);
	default:
		return sl_end_leaving(end, visit);
	}
}

static inline void sl_end_enrolled(struct sl_end *end, __u64 peer, __u64 peer_sock)
{
	sl_end_enter(end, SL_END_ENROLLED);
	end->peer = peer;
	end->peer_sock = peer_sock;
}

#define SL_REST      8 /* visits, the first time */
#define SL_RESTS_MAX 10

static inline void sl_end_left(struct sl_end *end)
{
	sl_end_enter(end, SL_END_WATCHED);
	end->rest = SL_REST << (end->rests < SL_RESTS_MAX ? end->rests : SL_RESTS_MAX);
	end->rests++;
}

/*
 * It was wanted, but might have been read from in that moment. After some attempts it rests, and
 * its holders are asked for anew.
 */
static inline void sl_end_refused(struct sl_end *end)
{
	end->reason = SL_REASON_READING;
	if (end->visits < SL_PATIENCE)
		return;
	sl_end_left(end);
	end->owned = 0;
}

/* --- Between proxyd and the programs ---------------------------------------------------------- */

/*
 * Of an executable's file name, with the NUL; longer ones are cut. More than the 63 letters that a
 * name in the configuration may have, so that one that was cut equals none of those.
 */
#define SL_PROGRAM_NAME 72

#define SL_FILTER_MAX   16

/* 16 bytes of an address, IPv4 mapped into IPv6, and which bits of it count. */
struct sl_address_range {
	__be32 address[4];
	__be32 mask[4];
};

struct sl_number_range {
	__u32 first, last;
};

/* What to leave comes first; an empty list of what to take takes everything. */
struct sl_direct_filter {
	struct sl_address_range take[SL_FILTER_MAX], leave[SL_FILTER_MAX];
	struct sl_number_range take_uid[SL_FILTER_MAX], leave_uid[SL_FILTER_MAX];
	struct sl_number_range take_port[SL_FILTER_MAX], leave_port[SL_FILTER_MAX];
	__u64 leave_group[SL_FILTER_MAX]; /* IDs of cgroups */
	__u32 takes, leaves, take_uids, leave_uids, take_ports, leave_ports, leave_groups;
};

static inline int sl_range_holds(const struct sl_address_range *range, const __be32 address[4])
{
	__be32 different = 0;

	for (int i = 0; i < 4; i++)
		different |= (range->address[i] ^ address[i]) & range->mask[i];
	return !different;
}

static inline int sl_ranges_hold(const struct sl_address_range *ranges, __u32 count,
				 const struct sl_direct_subject *subject)
{
	for (__u32 i = 0; i < SL_FILTER_MAX && i < count; i++)
		if (sl_range_holds(&ranges[i], subject->local_ip) ||
		    sl_range_holds(&ranges[i], subject->remote_ip))
			return 1;
	return 0;
}

static inline int sl_numbers_hold(const struct sl_number_range *ranges, __u32 count, __u32 number)
{
	for (__u32 i = 0; i < SL_FILTER_MAX && i < count; i++)
		if (ranges[i].first <= number && number <= ranges[i].last)
			return 1;
	return 0;
}

static inline int sl_ports_hold(const struct sl_number_range *ports, __u32 count,
				const struct sl_direct_subject *subject)
{
	return sl_numbers_hold(ports, count, subject->local_port) ||
	       sl_numbers_hold(ports, count, subject->remote_port);
}

/* What a scan says of a socket, for lists. */
struct sl_sighting {
	struct sl_direct_subject subject;
	__u32 state;  /* enum sl_end_state */
	__u32 reason; /* enum sl_direct_reason */
	__u32 waits;  /* enum sl_waits, in state LEAVING */
	__u32 unused;
	struct sl_shares shares;
};

/* Per-CPU sums since the lane was made. */
struct sl_direct_totals {
	__u64 messages[4];    /* by enum sl_direct_verdict */
	__u64 direct, passed; /* bytes */
	__u64 through[2];     /* of the direct ones those through the proxy, by direction */
	__u64 vanished;       /* the other end was gone from the map: passed */
};

#endif
