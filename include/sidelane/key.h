/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_KEY_H
#define SIDELANE_KEY_H

/*
 * The SOCKHASH key: the connection's 4-tuple as its owner sees it, and the socket's cookie.
 *
 * The tuple says which connection it is (`bpftool map dump` shows it); the cookie says who. The
 * same tuple exists in every network namespace and comes back after a close, a cookie does
 * neither (sock_gen_cookie, net/core/sock_diag.c: one counter for all namespaces, never
 * reused). So a key that has gone stale finds nothing: it cannot find a stranger.
 *
 * Every field is in network byte order except the cookie. IPv4 addresses stand as v4-mapped
 * IPv6 ones, so that an AF_INET6 socket that speaks IPv4 has one key, whoever computes it.
 */

#include <linux/types.h>

struct sl_key {
	__be32 local_ip[4];
	__be32 remote_ip[4];
	__be16 local_port;
	__be16 remote_port;
	__u32 unused; /* a key is compared as raw bytes: no padding may stay undefined */
	__u64 cookie;
};

/* ::ffff:a.b.c.d (RFC 4291, 2.5.5.2) of an IPv4 address in network byte order. */
static inline void sl_map_ipv4(__be32 to[4], __be32 ipv4)
{
	to[0] = 0;
	to[1] = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	to[2] = 0xffff0000U;
#else
	to[2] = 0x0000ffffU;
#endif
	to[3] = ipv4;
}

static inline __be16 sl_swap16(__u16 port)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (__be16)(port << 8 | port >> 8);
#else
	return port;
#endif
}

/* bpf_sock_ops.local_port holds skc_num: host byte order in the low half. */
static inline __be16 sl_port_of_sock_ops_local(__u32 local_port)
{
	return sl_swap16((__u16)local_port);
}

/*
 * bpf_sock_ops.remote_port holds skc_dport as a 32-bit number in network byte order: the
 * port's two bytes are the last two in memory (sock_ops_convert_ctx_access shifts them there on
 * little endian).
 */
static inline __be16 sl_port_of_sock_ops_remote(__u32 remote_port)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (__be16)(remote_port >> 16);
#else
	return (__be16)remote_port;
#endif
}

#endif
