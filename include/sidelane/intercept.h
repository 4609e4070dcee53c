/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_INTERCEPT_H
#define SIDELANE_INTERCEPT_H

/* What the programs that intercept connections and proxyd say to each other. */

#include <linux/types.h>

#define SL_USERS_MAX      32   /* ranges of user IDs */
#define SL_RANGES_MAX     4096 /* of addresses, included or excluded */
#define SL_INTERFACES_MAX 16

/* Ports have a bit each. */
#define SL_PORT_WORDS 1024

/* Where a client meant to connect to. IPv4 mapped (key.h), all in network byte order. */
struct sl_destination {
	__be32 ip[4];
	__be16 port; /* 0: not known */
	__u16 unused;
};

/*
 * A handshake, as the client sees it. The tuple alone comes back as soon as a client is gone by
 * RST, while what it left may still wait to be accepted; its next user has another initial sequence
 * number, which for one tuple repeats after 274 s at the earliest (secure_tcp_seq, 6.18).
 */
struct sl_handshake {
	__be32 local_ip[4];
	__be32 remote_ip[4];
	__be16 local_port;
	__be16 remote_port;
	__u32 isn; /* of the client's SYN, host byte order */
};

struct sl_users {
	__u32 first;
	__u32 last;
};

/*
 * What is intercepted and where it goes. There are two, for the generation in force and the next;
 * everything else that rules are made of carries the generation in its key.
 */
struct sl_rules {
	__be32 proxy_ip4;
	__be32 proxy_ip6[4];
	__be16 proxy_port;
	__u8 takes_ipv4;
	__u8 takes_ipv6;
	__u8 any_destination;
	__u8 any_port;
	__u16 user_count; /* 0: any */
	struct sl_users users[SL_USERS_MAX];
};

/* The same of what is steered. */
struct sl_steering {
	__u8 takes_ipv4;
	__u8 takes_ipv6;
	__u8 any_destination;
	__u8 any_port;
	__u32 interface_count; /* 0: all but loopback */
	__u32 interfaces[SL_INTERFACES_MAX];
};

/* That a process intercepts the connections of a cgroup; all of it compares. */
struct sl_claim {
	__u64 netns;         /* cookie */
	__u64 cgroup;        /* ID */
	__u64 pid_namespace; /* inode, of what ... */
	__u32 process;       /* ... this is a number in */
	__u32 family;
};

/* The name of the map that holds one. */
#define SL_CLAIM_MAP "sidelane_claim"

/* Key of the LPM tries; prefixlen counts the generation's 32 bits. */
struct sl_range {
	__u32 prefixlen;
	__u32 generation;
	__be32 ip[4];
};

#endif
