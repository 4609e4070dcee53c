// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * sk_skb: decides for every skb that arrives at an enrolled socket whether it goes straight to
 * the paired socket or to proxyd. Runs in softirq or from release_sock, always under the
 * source socket's lock (sk_psock_verdict_data_ready, sk_psock_strp_read; net/core/skmsg.c, 6.18),
 * hence at most once at a time for a direction.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define SL_MAP
#include "maps.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* One ring buffer a worker, so that workers share nothing. */
struct wakeup_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SL_WORKERS_MAX);
	__type(key, __u32);
	__array(values, struct wakeup_ring);
} wakeups SEC(".maps");

/* Only the fields that are read; libbpf relocates them to the running kernel's layout. */
struct sock {
	int sk_wmem_queued;
} __attribute__((preserve_access_index));

struct tcp_sock {
	__u32 write_seq;
	__u32 copied_seq;
	__u32 max_window;
} __attribute__((preserve_access_index));

struct sk_buff {
	unsigned int truesize;
	char cb[48];
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

/* Set by proxyd before the load. */
const volatile __u8 has_kern_ctx = 0;      /* 6.2 */
const volatile __u8 has_stream_parser = 0; /* skbs come by way of strparser, whole and trimmed */

/*
 * What an skb weighs where its true size cannot be read (before 6.2): a page fragment of
 * payload and its head.
 */
#define SKB_OVERHEAD 2304

static __always_inline __u32 true_size(struct __sk_buff *skb)
{
	if (has_kern_ctx) {
		struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);

		return kernel_skb->truesize;
	}
	return skb->len + SKB_OVERHEAD;
}

/* Where the source's stream goes on, before its first skb. */
static __u32 first_seq(struct sl_ledger *ledger, __u32 seq)
{
	struct bpf_sock *source = bpf_map_lookup_elem(&sockets, &ledger->key);
	struct tcp_sock *tcp;

	if (!source)
		return seq;
	tcp = bpf_skc_to_tcp_sock(source);
	if (tcp)
		seq = tcp->copied_seq;
	bpf_sk_release(source);
	return seq;
}

/* bpf_skb_adjust_room takes at most 0xfff bytes at once (net/core/filter.c). */
#define TRIM_STEP      0xfff
#define TRIM_STEPS_MAX 32

/*
 * An skb may begin with bytes that TCP has received before: a retransmission cut otherwise.
 * tcp_recvmsg and strparser skip them, tcp_read_skb does not (6.18), so they must go here.
 * TCP_SKB_CB(skb)->seq is the first field of the control block. Returns whether they are gone: the
 * kernel may have no memory for it (pskb_may_pull), or there may be more of them than
 * TRIM_STEPS_MAX steps take (BIG TCP).
 */
static int trim(struct __sk_buff *skb, struct sl_ledger *ledger)
{
	struct sk_buff *kernel_skb;
	__u32 seq, old;

	if (!has_kern_ctx || has_stream_parser)
		return 1;
	kernel_skb = bpf_cast_to_kern_ctx(skb);
	if (bpf_core_read(&seq, sizeof(seq), &kernel_skb->cb))
		return 0;
	if (!ledger->redirected && !ledger->passed)
		ledger->next_seq = first_seq(ledger, seq);
	old = ledger->next_seq - seq;
	if ((__s32)(seq + skb->len - ledger->next_seq) > 0)
		ledger->next_seq = seq + skb->len;
	if ((__s32)old <= 0)
		return 1;
	if (old > skb->len)
		old = skb->len;
	for (int i = 0; i < TRIM_STEPS_MAX && old; i++) {
		__u32 step = old < TRIM_STEP ? old : TRIM_STEP;

		if (bpf_skb_adjust_room(skb, -(__s32)step, 0, 0))
			return 0;
		old -= step;
	}
	return !old;
}

static __always_inline struct sl_totals *my_totals(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&totals, &zero);
}

static void wake_proxyd(const struct sl_peer *peer, __u64 cookie, __u32 kind)
{
	struct sl_event event = {.cookie = cookie, .slot = peer->slot, .kind = kind};
	struct sl_totals *sums = my_totals();
	__u32 worker = peer->worker;
	void *ring = bpf_map_lookup_elem(&wakeups, &worker);

	if ((!ring || bpf_ringbuf_output(ring, &event, sizeof(event), 0)) && sums)
		sums->events_lost++;
}

/*
 * The skb cannot be let through, nor anything behind it. The ledger says so too, for where there is
 * no peer yet that would tell which worker to wake, or no room in its ring.
 */
static int break_off(struct sl_ledger *ledger, __u64 cookie)
{
	struct sl_peer *peer;

	ledger->broken = 1;
	peer = bpf_map_lookup_elem(&peers, &cookie);
	if (peer)
		wake_proxyd(peer, cookie, SL_EVENT_BROKEN);
	return SK_DROP;
}

/* Returns 0, or -1 when the destination is gone. */
static int look_at_destination(struct sl_ledger *ledger, struct sl_peer *peer)
{
	struct bpf_sock *destination = bpf_map_lookup_elem(&sockets, &peer->destination);
	struct tcp_sock *tcp;
	int err = -1;

	if (!destination)
		return -1;
	tcp = bpf_skc_to_tcp_sock(destination);
	if (tcp) {
		__u32 write_seq = *(volatile __u32 *)&tcp->write_seq;
		int queued = *(volatile int *)&((struct sock *)tcp)->sk_wmem_queued;
		__u32 half_window = tcp->max_window / 2;

		/* tcp_bound_to_half_wnd: a small window makes small skbs, whatever GSO can do. */
		ledger->budget.goal = half_window;
		sl_ledger_settle(ledger, write_seq, queued);
		err = 0;
	}
	bpf_sk_release(destination);
	return err;
}

/* Tell proxyd when the lane does not pay for what the direction carries. */
static void watch(struct sl_ledger *ledger, const struct sl_peer *peer, __u64 cookie)
{
	struct sl_ledger *opposite = bpf_map_lookup_elem(&ledgers, &peer->destination.cookie);

	sl_pattern_skb(&ledger->pattern, opposite ? (__u32)opposite->skbs : 0);
	if (!(ledger->skbs % SL_SAMPLE) &&
	    sl_pattern_sample(&ledger->pattern, ledger->redirected, bpf_ktime_get_ns()))
		wake_proxyd(peer, cookie, SL_EVENT_SMALL_WRITES);
}

/* `weight` is what the skb is to be charged, which a look may change. */
static enum sl_verdict decide(struct sl_ledger *ledger, struct sl_peer *peer,
			      const struct sl_published *half, struct __sk_buff *skb, __u32 *weight)
{
	__u32 truesize = true_size(skb);
	enum sl_verdict verdict;
	struct sl_totals *sums;

	*weight = sl_budget_weight(&ledger->budget, skb->len, truesize);
	verdict = sl_rule(ledger, half, *weight);
	if (verdict == SL_PASS || (verdict == SL_REDIRECT && ledger->redirected))
		return verdict;
	if (look_at_destination(ledger, peer))
		return SL_PASS;
	*weight = sl_budget_weight(&ledger->budget, skb->len, truesize);
	verdict = sl_rule(ledger, half, *weight);
	if (verdict != SL_LOOK)
		return verdict;
	sums = my_totals();
	if (sums)
		sums->window_stalls++;
	return SL_PASS;
}

/*
 * A bare FIN arrives as an skb without payload. tcp_fin has noted it by then (recv returns 0), so
 * dropping the skb loses nothing. Redirected, or passed behind a backlog of the socket's
 * own, it makes sk_psock_backlog see a send of 0 bytes, report EPIPE and stop for good (6.18).
 */
SEC("sk_skb/stream_verdict")
int verdict(struct __sk_buff *skb)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct sl_ledger *ledger = bpf_map_lookup_elem(&ledgers, &cookie);
	struct sl_published *half = NULL;
	struct sl_totals *sums;
	struct sl_peer *peer;
	__u32 weight;

	if (!skb->len)
		return SK_DROP;
	if (!ledger)
		return SK_PASS;
	if (ledger->broken || !trim(skb, ledger))
		return break_off(ledger, cookie);
	if (!skb->len)
		return SK_DROP;
	peer = bpf_map_lookup_elem(&peers, &cookie);
	if (peer)
		half = bpf_map_lookup_elem(&published, &peer->slot);
	if (!half) {
		ledger->passed += skb->len;
		return SK_PASS;
	}
	sums = my_totals();
	if (decide(ledger, peer, half, skb, &weight) == SL_REDIRECT) {
		if (bpf_sk_redirect_hash(skb, &sockets, &peer->destination, 0) == SK_PASS) {
			sl_ledger_redirect(ledger, half->window, skb->len, weight);
			if (sums)
				sums->bytes[peer->direction & 1] += skb->len;
			if (half->watched)
				watch(ledger, peer, cookie);
			return SK_PASS;
		}
		if (sums)
			sums->no_peer++;
	}
	if (sl_ledger_pass(ledger, half, skb->len))
		wake_proxyd(peer, cookie, SL_EVENT_PASSED);
	return SK_PASS;
}

/* Whatever has arrived is a message; the verdict is taken on each. */
SEC("sk_skb/stream_parser")
int parser(struct __sk_buff *skb)
{
	return skb->len;
}
