// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Iterators: `scan` visits the sockets of a network namespace, each under its lock, and enrols,
 * switches and takes out; `owners` visits all descriptors and finds the programs that hold them.
 * And `begins`, which sees when it is time for that.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "direct_cgroup.bpf.h"
#include "direct_maps.bpf.h"
#include "direct_members.bpf.h"
#include "direct_through.bpf.h"
#include "sidelane/key.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set by proxyd before the load. */
const volatile __u64 cgroup_id = 0;
const volatile __u8 through_proxy = 0; /* the ends of proxyd's flows instead of a cgroup's */
const volatile __u8 any_program = 0;
const volatile __u8 translated = 0;  /* connections with translated addresses, too */
const volatile __u8 watch_only = 0;  /* enrol nobody (--dry-run) */
const volatile __u8 look_only = 0;   /* report what another proxyd's scan has found (--status) */
const volatile __u8 mends = 0;       /* the socket map may have the program `mend` */
const volatile __u8 eager = 0;       /* enrol whatever is eligible, at once (--debug-eager) */
struct sl_direct_filter filter = {}; /* volatile would not do: only not const is not folded */

/* Set by proxyd before each scan. */
__u32 stopping = 0;
__u32 leave_old = 0;   /* sockets that are met for the first time were there before */
__u32 listing = 0;     /* write a struct sl_sighting for each socket */
__u64 fresh_ns = 0;    /* a record that is older says nothing */
__u32 owners_pass = 0; /* number of the last pass of `owners` */

/* Read by proxyd after it. */
__u32 owners_wanted = 0;
__u32 strangers = 0;           /* programs that are not known and began in the cgroup; wraps */
__u32 restless = 0;            /* sockets on their way into the lane or out of it */
__u32 enrolled = 0;            /* sockets in the socket map */
__u32 counts[SL_REASONS] = {}; /* sockets by reason */

extern const void tcp_recvmsg __ksym;
extern const void tcp_sendmsg __ksym;

static __always_inline void subject_of(struct sock *sk, struct sl_direct_subject *subject)
{
	struct sock_common *common = &sk->__sk_common;

	subject->uid = sk->sk_uid.val;
	subject->local_port = common->skc_num;
	subject->remote_port = sl_swap16(common->skc_dport);
	if (common->skc_family == AF_INET) {
		sl_map_ipv4(subject->local_ip, common->skc_rcv_saddr);
		sl_map_ipv4(subject->remote_ip, common->skc_daddr);
		return;
	}
	for (int i = 0; i < 4; i++) {
		subject->local_ip[i] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
		subject->remote_ip[i] = common->skc_v6_daddr.in6_u.u6_addr32[i];
	}
}

/*
 * Global functions: the verifier goes through each once, not through every combination of their
 * ways.
 */
__noinline int eligible(const struct sl_direct_facts *facts)
{
	return facts ? (int)sl_direct_eligible(facts) : 0;
}

__noinline int step(struct sl_end *end, const struct sl_visit *visit)
{
	return end && visit ? (int)sl_end_visit(end, visit) : 0;
}

__noinline int has_port(struct sl_direct_subject *subject, int leave)
{
	if (!subject)
		return 0;
	return leave ? sl_ports_hold(filter.leave_port, filter.leave_ports, subject)
		     : sl_ports_hold(filter.take_port, filter.take_ports, subject);
}

__noinline int has_uid(struct sl_direct_subject *subject, int leave)
{
	if (!subject)
		return 0;
	return leave ? sl_numbers_hold(filter.leave_uid, filter.leave_uids, subject->uid)
		     : sl_numbers_hold(filter.take_uid, filter.take_uids, subject->uid);
}

__noinline int has_address(struct sl_direct_subject *subject, int leave)
{
	if (!subject)
		return 0;
	return leave ? sl_ranges_hold(filter.leave, filter.leaves, subject)
		     : sl_ranges_hold(filter.take, filter.takes, subject);
}

static __always_inline int filter_takes(struct sl_direct_subject *subject)
{
	if (has_port(subject, 1) || has_uid(subject, 1) || has_address(subject, 1))
		return 0;
	return (!filter.take_ports || has_port(subject, 0)) &&
	       (!filter.take_uids || has_uid(subject, 0)) &&
	       (!filter.takes || has_address(subject, 0));
}

static __always_inline int is_plain(struct sock *sk, struct tcp_sock *tcp, const struct sl_end *end)
{
	struct proto *operations = sk->__sk_common.skc_prot;

	/* TCP_ULP is taken from an enrolled socket too (__tcp_set_ulp, 6.18). */
	if (tcp->inet_conn.icsk_ulp_ops)
		return 0;
	if (end->state >= SL_END_ENROLLED)
		return 1;
	return operations->recvmsg == &tcp_recvmsg && operations->sendmsg == &tcp_sendmsg &&
	       !sk->sk_user_data && !tcp->is_mptcp;
}

static __always_inline enum sl_direct_reason examine(struct sock *sk, struct tcp_sock *tcp,
						     const struct sl_end *end)
{
	unsigned long flags = sk->__sk_common.skc_flags;
	struct socket *socket = sk->sk_socket;
	struct sl_direct_facts facts = {
		.established = sk->__sk_common.skc_state == TCP_ESTABLISHED && !sk->sk_shutdown,
		.accepted = socket && socket->file,
		.plain = is_plain(sk, tcp, end),
		.blocking = is_blocking(sk),
		.zerocopy = !!(flags & 1UL << SOCK_ZEROCOPY),
		.timestamps = flags & 1UL << SOCK_RCVTSTAMP || sk->sk_tsflags,
		.urgent = flags & 1UL << SOCK_URGINLINE || tcp->urg_data,
		.sock_filter = !!sk->sk_filter,
		.option = BPF_CORE_READ_BITFIELD(tcp, repair) ||
			  BPF_CORE_READ_BITFIELD(tcp, recvmsg_inq) || sk->sk_peek_off >= 0,
		.pressure = pressed(sk),
		.lowat = sk->sk_rcvlowat,
	};

	return eligible(&facts);
}

/*
 * Whether a program holds the socket that may not. Who holds it is asked for when it matters: a
 * pass over all descriptors costs more than a scan. Of those whom any program may hold it matters
 * until they are enrolled (all_have_left()).
 */
static __always_inline enum sl_direct_reason owner_reason(const struct sl_end *end, int matters)
{
	if (any_program && end->state >= SL_END_ENROLLED)
		return SL_REASON_NONE;
	if (matters && (!end->owned || end->owned != owners_pass))
		owners_wanted = 1;
	if (end->owned && end->strange == end->owned && !any_program)
		return SL_REASON_PROGRAM;
	return matters && !end->owned ? SL_REASON_PROGRAM : SL_REASON_NONE;
}

static __always_inline int has_ended(struct sock *sk)
{
	unsigned char state = sk->__sk_common.skc_state;

	return state == TCP_CLOSE || state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK ||
	       state == TCP_CLOSING;
}

static __always_inline struct sl_record *usable(struct sl_record *record, const struct sl_end *end)
{
	if (!record || record->seen_ns < fresh_ns || record->cookie == end->cookie)
		return NULL;
	if (end->state >= SL_END_ENROLLED && record->cookie != end->peer)
		return NULL;
	return record;
}

static __always_inline struct sl_record *find_other(const struct sl_end_key *key,
						    struct sl_end *end)
{
	struct sl_end_key mirror = sl_end_key_mirror(key, end->connected);
	struct sl_record *record = usable(bpf_map_lookup_elem(&records, &mirror), end);

	if (record || end->state >= SL_END_ENROLLED)
		return record;
	mirror = sl_end_key_mirror(key, !end->connected);
	record = usable(bpf_map_lookup_elem(&records, &mirror), end);
	if (record)
		end->connected = !end->connected;
	return record;
}

static __always_inline struct sl_record *find_through(struct sl_end *end)
{
	struct sl_end_key key;
	__u32 shift;

	if (!through(end->offer, fresh_ns, &key, &shift))
		return NULL;
	if (end->state < SL_END_ENROLLED)
		end->shift = shift;
	return usable(bpf_map_lookup_elem(&records, &key), end);
}

static __always_inline void act(struct tcp_sock *tcp, struct sl_end *end,
				const struct sl_record *other, int what)
{
	if (what == SL_ENROL && other)
		enrol(tcp, end, other);
	else if (what == SL_LEAVE)
		take_out(end);
}

/* Leave the record for the other end, unless another socket has the same numbers. */
static __always_inline void leave_record(const struct sl_end_key *key, struct sock *sk,
					 const struct sl_end *end,
					 const struct sl_direct_subject *subject)
{
	struct sl_record record = {
		.cookie = end->cookie,
		.sock = (__u64)sk,
		.seen_ns = bpf_ktime_get_ns(),
		.state = end->state,
		.silent = end->silent,
		.subject = *subject,
	};
	struct sl_record *old = bpf_map_lookup_elem(&records, key);

	if (old && old->cookie != end->cookie && old->seen_ns >= fresh_ns)
		return;
	if (old || end->state != SL_END_WATCHED || end->reason == SL_REASON_TRANSLATED)
		bpf_map_update_elem(&records, key, &record, BPF_ANY);
}

/* Through the proxy its two connections have their own addresses in any case. */
static __always_inline void meet_other(struct sl_visit *visit,
				       const struct sl_direct_subject *subject,
				       const struct sl_record *other)
{
	if (!other)
		return;
	visit->met = 1;
	visit->state = other->state;
	visit->silent = other->silent;
	if (!visit->reason && !through_proxy && !translated &&
	    !sl_subjects_mirrored(subject, &other->subject))
		visit->reason = SL_REASON_TRANSLATED;
}

static __always_inline enum sl_direct_reason find_reason(const struct sl_end *end,
							 const struct sl_visit *visit)
{
	if (end->state == SL_END_LEAVING)
		return SL_REASON_LEAVING;
	if (visit->reason)
		return visit->reason;
	if (end->state == SL_END_WATCHED)
		return SL_REASON_TRAFFIC;
	if (watch_only && sl_other_willing(visit))
		return SL_REASON_NONE;
	return end->on ? SL_REASON_NONE : SL_REASON_NO_PEER;
}

static __always_inline void visit_end(struct sock *sk, struct tcp_sock *tcp, struct sl_end *end,
				      struct sl_direct_subject *subject)
{
	struct sl_dialogue now = {
		.bytes = tcp->bytes_received + tcp->bytes_acked,
		.in = tcp->data_segs_in,
		.out = tcp->data_segs_out,
	};
	struct sl_end_key key = key_of(sk, tcp);
	struct sl_visit visit = {
		.ended = has_ended(sk),
		.unread = mends && sk->sk_receive_queue.qlen,
	};
	struct sl_record *other;
	int what;

	if (stopping)
		visit.reason = SL_REASON_STOPPING;
	else if (last_group.left || !filter_takes(subject))
		visit.reason = SL_REASON_FILTERED;
	else if (end->old)
		visit.reason = SL_REASON_EXISTING;
	else
		visit.reason = examine(sk, tcp, end);
	if (eager) {
		visit.dialogue = SL_DIALOGUE_YES;
		end->rest = 0;
	} else if (end->state == SL_END_WATCHED) {
		visit.dialogue = sl_dialogue_sample(&end->dialogue, &now);
	}
	if (!visit.reason)
		visit.reason = owner_reason(end, end->state != SL_END_WATCHED ||
							 visit.dialogue == SL_DIALOGUE_YES);
	if (end->state >= SL_END_ENROLLED) {
		visit.bulk = end->on && !eager && sl_shares_bulk(&end->sampled, &end->shares);
		look_at_psock(sk, &visit);
	}
	other = through_proxy ? find_through(end) : find_other(&key, end);
	meet_other(&visit, subject, other);
	what = step(end, &visit);
	end->reason = find_reason(end, &visit);
	if (!watch_only)
		act(tcp, end, other, what);
	leave_record(&key, sk, end, subject);
}

static __always_inline void report(struct seq_file *seq, const struct sl_end *end,
				   const struct sl_direct_subject *subject)
{
	struct sl_sighting sighting = {
		.subject = *subject,
		.state = end->state,
		.reason = end->reason,
		.waits = end->waits,
		.shares = end->shares,
	};

	bpf_seq_write(seq, &sighting, sizeof(sighting));
}

/* A new socket's storage, or NULL where it needs none. */
static __always_inline struct sl_end *meet(struct tcp_sock *tcp)
{
	struct sl_end *end;
	__u64 offer = 0;

	if (look_only || stopping)
		return NULL;
	if (through_proxy) {
		offer = offer_of((struct sock *)tcp, tcp);
		if (!offer)
			return NULL;
	}
	end = bpf_sk_storage_get(&ends, tcp, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!end)
		return NULL;
	end->cookie = bpf_get_socket_cookie(tcp);
	end->offer = offer;
	end->old = leave_old;
	return end;
}

SEC("iter/tcp")
int scan(struct bpf_iter__tcp *context)
{
	struct sl_direct_subject subject = {};
	struct sock_common *common = context->sk_common;
	struct tcp_sock *tcp;
	struct sl_end *end;

	if (!common)
		return 0;
	tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp || common->skc_state == TCP_LISTEN)
		return 0;
	if (through_proxy ? is_offered((struct sock *)tcp, tcp)
			  : !is_inside((struct sock *)tcp, cgroup_id, &filter))
		return 0;
	end = bpf_sk_storage_get(&ends, tcp, NULL, 0);
	if (!end)
		end = meet(tcp);
	if (!end)
		return 0;
	subject_of((struct sock *)tcp, &subject);
	if (!look_only)
		visit_end((struct sock *)tcp, tcp, end, &subject);
	if (through_proxy && !look_only)
		tell(end);
	if (end->state == SL_END_LEAVING || (end->state == SL_END_ENROLLED && !end->on))
		restless++;
	enrolled += end->state >= SL_END_ENROLLED;
	if (end->reason < SL_REASONS)
		counts[end->reason]++;
	if (listing)
		report(context->meta->seq, end, &subject);
	return 0;
}

/* --- Who holds the sockets ------------------------------------------------------------------- */

/* Executables by file name that are known to read with recv alone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, char[SL_PROGRAM_NAME]);
	__type(value, __u8);
} programs SEC(".maps");

static __always_inline int is_known(struct task_struct *task)
{
	struct file *program = task->mm ? task->mm->exe_file : NULL;
	const unsigned char *text = program ? program->f_path.dentry->d_name.name : NULL;
	char name[SL_PROGRAM_NAME] = {};

	if (text)
		bpf_probe_read_kernel_str(name, sizeof(name), text);
	return !!bpf_map_lookup_elem(&programs, name);
}

SEC("iter/task_file")
int owners(struct bpf_iter__task_file *context)
{
	struct task_struct *task = context->task;
	struct file *file = context->file;
	struct sl_holder holder;
	struct socket *socket;
	struct sl_end *end;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	end = bpf_sk_storage_get(&ends, socket->sk, NULL, 0);
	if (!end)
		return 0;
	if (end->owned != owners_pass)
		end->holders = 0;
	holder.pid = task->pid;
	holder.tgid = task->tgid;
	holder.fd = context->fd;
	sl_end_held(end, &holder);
	if (!is_known(task))
		end->strange = owners_pass;
	end->owned = owners_pass;
	return 0;
}

/* A program begins: it may have inherited sockets of the one that has made it. */
SEC("raw_tp/sched_process_exec")
int begins(void *context)
{
	__u64 id = 1;

	(void)context;
	if (is_known(bpf_get_current_task_btf()))
		return 0;
	for (int level = 0; id && id != cgroup_id && level < CGROUP_DEPTH_MAX; level++)
		id = bpf_get_current_ancestor_cgroup_id(level);
	if (through_proxy || id == cgroup_id)
		__sync_fetch_and_add(&strangers, 1);
	return 0;
}
