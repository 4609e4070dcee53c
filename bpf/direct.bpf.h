/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SIDELANE_DIRECT_BPF_H
#define SIDELANE_DIRECT_BPF_H

/*
 * Kernel types as far as the direct lane reads them; libbpf relocates each field to the running
 * kernel's layout. A name with ___ is another view of the type before it.
 */

#include <linux/types.h>

#define AF_INET         2
#define AF_INET6        10

#define TCP_ESTABLISHED 1
#define TCP_CLOSE       7
#define TCP_CLOSE_WAIT  8
#define TCP_LAST_ACK    9
#define TCP_LISTEN      10
#define TCP_CLOSING     11

#define RCV_SHUTDOWN    1
#define SEND_SHUTDOWN   2
#define O_NONBLOCK      04000

/* enum sock_flags (include/net/sock.h) */
#define SOCK_URGINLINE 2
#define SOCK_RCVTSTAMP 11
#define SOCK_ZEROCOPY  18

#define RELOCATED      __attribute__((preserve_access_index))

typedef struct {
	int counter;
} RELOCATED atomic_t;

typedef struct {
	__s64 counter;
} RELOCATED atomic64_t;

typedef struct {
	atomic_t refs;
} RELOCATED refcount_t;

struct list_head {
	struct list_head *next;
} RELOCATED;

struct qstr {
	const unsigned char *name;
} RELOCATED;

struct dentry {
	struct qstr d_name;
} RELOCATED;

struct path {
	struct dentry *dentry;
} RELOCATED;

typedef struct {
	atomic64_t refcnt; /* less 1 */
} RELOCATED file_ref_t;

struct file {
	struct path f_path;
	unsigned int f_flags;
	file_ref_t f_ref; /* 6.13 */
} RELOCATED;

struct file___old {
	atomic64_t f_count;
} RELOCATED;

struct mm_struct {
	struct file *exe_file;
} RELOCATED;

struct io_uring_task;
struct fdtable {
	unsigned int max_fds;
	struct file **fd;
} RELOCATED;

struct files_struct {
	struct fdtable *fdt;
} RELOCATED;

struct signal_struct {
	int nr_threads;
} RELOCATED;

struct task_struct {
	unsigned int __state;
	unsigned int flags;
	int exit_state;
	int pid;
	int tgid;
	struct mm_struct *mm;
	struct files_struct *files;
	struct signal_struct *signal;
	struct io_uring_task *io_uring;
} RELOCATED;

struct pt_regs {
	unsigned long di;
	unsigned long orig_ax;
} RELOCATED;

struct kernfs_node {
	__u64 id;
} RELOCATED;

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[];
} RELOCATED;

struct sock_cgroup_data {
	struct cgroup *cgroup;
} RELOCATED;

struct mem_cgroup {
	__u64 socket_pressure; /* in jiffies: until when */
	int tcpmem_pressure;
} RELOCATED;

struct proto {
	void *sendmsg;
	void *recvmsg;
	unsigned long *memory_pressure;
} RELOCATED;

struct net {
	__u64 net_cookie;
} RELOCATED;

typedef struct {
	struct net *net;
} RELOCATED possible_net_t;

struct in6_addr {
	union {
		__u32 u6_addr32[4];
	} in6_u;
} RELOCATED;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct proto *skc_prot;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags;
} RELOCATED;

struct socket {
	struct file *file;
	struct sock *sk;
} RELOCATED;

typedef struct {
	unsigned int val;
} RELOCATED kuid_t;

typedef struct {
	int owned; /* by a call of its application */
} RELOCATED socket_lock_t;

struct sk_buff_head {
	__u32 qlen;
} RELOCATED;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	struct sk_buff_head sk_receive_queue;
	__s32 sk_peek_off;
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	int sk_forward_alloc;
	int sk_rcvbuf;
	void *sk_filter;
	int sk_rcvlowat;
	struct socket *sk_socket;
	struct mem_cgroup *sk_memcg;
	__u32 sk_tsflags;
	kuid_t sk_uid;
	__u8 sk_shutdown;
	void *sk_user_data;
	struct sock_cgroup_data sk_cgrp_data;
} RELOCATED;

struct inet_connection_sock {
	void *icsk_ulp_ops;
} RELOCATED;

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 copied_seq;
	__u32 write_seq;
	__u32 rcv_nxt;
	__u32 snd_una;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 data_segs_in;
	__u32 data_segs_out;
	__u16 urg_data;
	__u8 repair : 1;
	__u8 recvmsg_inq : 1;
	_Bool is_mptcp;
} RELOCATED;

/* What sk_user_data of an enrolled socket points to, but for its low bits. */
struct sk_psock {
	struct sk_buff_head ingress_skb;
	struct list_head ingress_msg;
	refcount_t refcnt;
} RELOCATED;

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} RELOCATED;

struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} RELOCATED;

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
} RELOCATED;

#endif
