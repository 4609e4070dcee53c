// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Brings the connections of a cgroup's processes to a listener of proxyd, and tells proxyd where
 * they were meant to go.
 *
 * connect4/6 note the destination at the client's socket and put the proxy's address in its place.
 * From there it gets to proxyd by way of `handshakes`: sock_ops writes it when the client's
 * SYN is about to be made (tcp_connect_init calls BPF_SOCK_OPS_TIMEOUT_INIT: tuple and sequence
 * number are settled, nothing was sent), and takes it out when proxyd's side is established, at
 * the socket that will be accepted. accept(2) cannot return before that: the socket is born locked
 * and tcp_child_process, which runs the callback, unlocks it (6.18; with TCP Fast Open
 * tcp_fastopen_create_child does, before it is queued).
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "ranges.bpf.h"
#include "sidelane/intercept.h"
#include "sidelane/key.h"

#define AF_INET              2
#define AF_INET6             10
#define SOCK_STREAM          1
#define IPPROTO_TCP          6
#define SOL_IP               0
#define SOL_IPV6             41
#define ORIGINAL_DESTINATION 80 /* SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST */
#define TCP_CLOSE            7
#define PASS                 1
#define REFUSE               0
#define ECONNREFUSED         111

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set by proxyd before the load. */
const volatile __u64 own_netns = 0;
const volatile __u8 closed = 0; /* refuse what would be intercepted while proxyd does not listen */

/* Set by who_am_i() before anything is attached; by proxyd. */
__u32 own_process = 0;
__u32 generation = 0;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct sl_rules);
} rules SEC(".maps");

/* From the SYN to the end of the handshake, or of the client. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct sl_handshake);
	__type(value, struct sl_destination);
} handshakes SEC(".maps");

/*
 * Of a client's socket. All programs of one proxyd share it: while a listener takes over from
 * another, those of both are there.
 */
struct client {
	struct sl_destination destination;
	struct sl_destination led; /* where it was led to instead */
	struct sl_handshake handshake;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct client);
} clients SEC(".maps");

/*
 * Of proxyd's own sockets: those that listen or connect, which have none, and those that were
 * accepted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct sl_destination);
} ours SEC(".maps");

/* proxyd's process as the programs see it, which in a PID namespace proxyd does not. */
SEC("syscall")
int who_am_i(void *context)
{
	(void)context;
	own_process = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

/* --- Rules ------------------------------------------------------------------------------- */

/* Its interface is in sin6_scope_id, which programs do not see: fe80::/10 is left alone. */
static int is_link_local(const __be32 ip[4])
{
	return (ip[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

static int user_fits(const struct sl_rules *rule)
{
	__u32 user = (__u32)bpf_get_current_uid_gid();

	if (!rule->user_count)
		return 1;
	for (int i = 0; i < SL_USERS_MAX; i++) {
		if (i >= rule->user_count)
			return 0;
		if (user >= rule->users[i].first && user <= rule->users[i].last)
			return 1;
	}
	return 0;
}

static int is_proxy(const struct sl_rules *rule, const struct sl_destination *to)
{
	if (to->port != rule->proxy_port)
		return 0;
	if (is_mapped(to->ip))
		return to->ip[3] == rule->proxy_ip4;
	return to->ip[0] == rule->proxy_ip6[0] && to->ip[1] == rule->proxy_ip6[1] &&
	       to->ip[2] == rule->proxy_ip6[2] && to->ip[3] == rule->proxy_ip6[3];
}

/* The rules, if by them the connection goes to proxyd. */
static const struct sl_rules *find_rules(const struct sl_destination *to)
{
	__u32 now = *(volatile __u32 *)&generation, index = now & 1;
	const struct sl_rules *rule = bpf_map_lookup_elem(&rules, &index);

	if (!rule || !(is_mapped(to->ip) ? rule->takes_ipv4 : rule->takes_ipv6))
		return NULL;
	if (!to->port || is_link_local(to->ip) || is_proxy(rule, to) ||
	    !is_meant(to, now, rule->any_destination, rule->any_port))
		return NULL;
	return user_fits(rule) ? rule : NULL;
}

/* --- The client's calls ------------------------------------------------------------------ */

static void lead(struct client *client, const struct sl_rules *rule)
{
	client->led.port = rule->proxy_port;
	if (is_mapped(client->destination.ip))
		sl_map_ipv4(client->led.ip, rule->proxy_ip4);
	else
		__builtin_memcpy(client->led.ip, rule->proxy_ip6, sizeof(client->led.ip));
}

static int is_led_here(const struct client *client)
{
	__u32 index = *(volatile __u32 *)&generation & 1;
	const struct sl_rules *rule = bpf_map_lookup_elem(&rules, &index);

	return rule && is_proxy(rule, &client->led);
}

/* By the programs of another listener of ours, which ran before in this very call. */
static int is_led_already(const struct client *client, const struct sl_destination *to)
{
	return client->led.port == to->port && client->led.ip[0] == to->ip[0] &&
	       client->led.ip[1] == to->ip[1] && client->led.ip[2] == to->ip[2] &&
	       client->led.ip[3] == to->ip[3] && !is_led_here(client);
}

/*
 * NULL: it goes where it was meant to. Also for want of memory: nothing is cut off then, unless
 * nobody is to get past proxyd (`refused`).
 */
static const struct sl_rules *intercept(struct bpf_sock_addr *context, struct bpf_sock *socket,
					const struct sl_destination *to, int *refused)
{
	const struct sl_rules *rule = NULL;
	struct client *client = bpf_sk_storage_get(&clients, socket, NULL, 0);

	*refused = 0;
	if (client && is_led_already(client, to))
		return NULL;
	if (bpf_get_netns_cookie(context) == own_netns &&
	    !bpf_sk_storage_get(&ours, socket, NULL, 0))
		rule = find_rules(to);
	client = bpf_sk_storage_get(&clients, socket, NULL, rule ? BPF_SK_STORAGE_GET_F_CREATE : 0);
	*refused = closed && rule && !client;
	if (!client)
		return NULL;
	/* Of an earlier attempt with the same socket. */
	if (!rule) {
		bpf_sk_storage_delete(&clients, socket);
		return NULL;
	}
	client->destination = *to;
	lead(client, rule);
	return rule;
}

/*
 * Run before connect4/6, and unlike those never pinned: when proxyd is gone, nobody is taken for
 * it, though somebody may have got its number.
 */
static int exempt(struct bpf_sock_addr *context)
{
	struct bpf_sock *socket = context->sk;

	if (socket && bpf_get_current_pid_tgid() >> 32 == own_process)
		bpf_sk_storage_get(&ours, socket, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	return PASS;
}

SEC("cgroup/connect4")
int exempt_ipv4(struct bpf_sock_addr *context)
{
	return exempt(context);
}

SEC("cgroup/connect6")
int exempt_ipv6(struct bpf_sock_addr *context)
{
	return exempt(context);
}

/* Whether one of proxyd's own sockets listens there, and not whoever took the port after its end.
 */
static int is_ours(struct bpf_sock *socket)
{
	int listens;

	if (!socket)
		return 0;
	listens = !!bpf_sk_storage_get(&ours, socket, NULL, 0);
	bpf_sk_release(socket);
	return listens;
}

/* connect(2) says ECONNREFUSED (bpf_set_retval, 5.18). */
static int refuse(void)
{
	bpf_set_retval(-ECONNREFUSED);
	return REFUSE;
}

static int is_open_ipv4(struct bpf_sock_addr *context, const struct sl_rules *rule)
{
	struct bpf_sock_tuple to = {};

	to.ipv4.daddr = rule->proxy_ip4;
	to.ipv4.dport = rule->proxy_port;
	return is_ours(bpf_sk_lookup_tcp(context, &to, sizeof(to.ipv4), BPF_F_CURRENT_NETNS, 0));
}

static int is_open_ipv6(struct bpf_sock_addr *context, const struct sl_rules *rule)
{
	struct bpf_sock_tuple to = {};

	for (int i = 0; i < 4; i++)
		to.ipv6.daddr[i] = rule->proxy_ip6[i];
	to.ipv6.dport = rule->proxy_port;
	return is_ours(bpf_sk_lookup_tcp(context, &to, sizeof(to.ipv6), BPF_F_CURRENT_NETNS, 0));
}

static int is_tcp(const struct bpf_sock_addr *context)
{
	return context->type == SOCK_STREAM && context->protocol == IPPROTO_TCP;
}

SEC("cgroup/connect4")
int connect_ipv4(struct bpf_sock_addr *context)
{
	struct bpf_sock *socket = context->sk;
	struct sl_destination to = {.port = (__be16)context->user_port};
	const struct sl_rules *rule;
	int refused;

	if (!is_tcp(context) || !socket)
		return PASS;
	sl_map_ipv4(to.ip, context->user_ip4);
	rule = intercept(context, socket, &to, &refused);
	if (!rule)
		return refused ? refuse() : PASS;
	if (closed && !is_open_ipv4(context, rule))
		return refuse();
	context->user_ip4 = rule->proxy_ip4;
	context->user_port = rule->proxy_port;
	return PASS;
}

SEC("cgroup/connect6")
int connect_ipv6(struct bpf_sock_addr *context)
{
	struct bpf_sock *socket = context->sk;
	struct sl_destination to = {.port = (__be16)context->user_port};
	const struct sl_rules *rule;
	int refused;

	if (!is_tcp(context) || !socket)
		return PASS;
	to.ip[0] = context->user_ip6[0];
	to.ip[1] = context->user_ip6[1];
	to.ip[2] = context->user_ip6[2];
	to.ip[3] = context->user_ip6[3];
	rule = intercept(context, socket, &to, &refused);
	if (!rule)
		return refused ? refuse() : PASS;
	if (closed &&
	    !(is_mapped(to.ip) ? is_open_ipv4(context, rule) : is_open_ipv6(context, rule)))
		return refuse();
	if (is_mapped(to.ip)) {
		context->user_ip6[3] = rule->proxy_ip4;
	} else {
		context->user_ip6[0] = rule->proxy_ip6[0];
		context->user_ip6[1] = rule->proxy_ip6[1];
		context->user_ip6[2] = rule->proxy_ip6[2];
		context->user_ip6[3] = rule->proxy_ip6[3];
	}
	context->user_port = rule->proxy_port;
	return PASS;
}

SEC("cgroup/getpeername4")
int getpeername_ipv4(struct bpf_sock_addr *context)
{
	struct bpf_sock *socket = context->sk;
	struct client *client = socket ? bpf_sk_storage_get(&clients, socket, NULL, 0) : NULL;

	if (client) {
		context->user_ip4 = client->destination.ip[3];
		context->user_port = client->destination.port;
	}
	return PASS;
}

SEC("cgroup/getpeername6")
int getpeername_ipv6(struct bpf_sock_addr *context)
{
	struct bpf_sock *socket = context->sk;
	struct client *client = socket ? bpf_sk_storage_get(&clients, socket, NULL, 0) : NULL;

	if (client) {
		context->user_ip6[0] = client->destination.ip[0];
		context->user_ip6[1] = client->destination.ip[1];
		context->user_ip6[2] = client->destination.ip[2];
		context->user_ip6[3] = client->destination.ip[3];
		context->user_port = client->destination.port;
	}
	return PASS;
}

struct ipv4_name {
	__u16 family;
	__be16 port;
	__be32 ip;
	__u64 unused;
};

struct ipv6_name {
	__u16 family;
	__be16 port;
	__u32 flow;
	__be32 ip[4];
	__u32 scope;
};

/* Volatile: clang would merge the stores to the context, which the verifier refuses. */
static int answer(volatile struct bpf_sockopt *context, int size)
{
	context->optlen = size;
	context->retval = 0;
	return PASS;
}

SEC("cgroup/getsockopt")
int original_destination(struct bpf_sockopt *context)
{
	struct bpf_sock *socket = context->sk;
	struct ipv4_name *ipv4 = context->optval;
	struct ipv6_name *ipv6 = context->optval;
	void *end = context->optval_end;
	struct client *client;

	if (context->optname != ORIGINAL_DESTINATION || !socket ||
	    (context->level != SOL_IP && context->level != SOL_IPV6))
		return PASS;
	client = bpf_sk_storage_get(&clients, socket, NULL, 0);
	if (!client)
		return PASS;
	if (context->level == SOL_IP) {
		if (!is_mapped(client->destination.ip) || (void *)(ipv4 + 1) > end)
			return PASS;
		*ipv4 = (struct ipv4_name){AF_INET, client->destination.port,
					   client->destination.ip[3], 0};
		return answer(context, sizeof(*ipv4));
	}
	if ((void *)(ipv6 + 1) > end)
		return PASS;
	ipv6->family = AF_INET6;
	ipv6->port = client->destination.port;
	ipv6->flow = 0;
	for (int i = 0; i < 4; i++)
		ipv6->ip[i] = client->destination.ip[i];
	ipv6->scope = 0;
	return answer(context, sizeof(*ipv6));
}

/* --- From the client's socket to the accepted one ---------------------------------------- */

/* A function for each family, or the verifier refuses a read through a moved context pointer. */
static __noinline void ipv4_addresses(struct bpf_sock_ops *ops, struct sl_handshake *key)
{
	sl_map_ipv4(key->local_ip, ops->local_ip4);
	sl_map_ipv4(key->remote_ip, ops->remote_ip4);
}

static __noinline void ipv6_addresses(struct bpf_sock_ops *ops, struct sl_handshake *key)
{
	for (int i = 0; i < 4; i++) {
		key->local_ip[i] = ops->local_ip6[i];
		key->remote_ip[i] = ops->remote_ip6[i];
	}
}

static int announce(struct bpf_sock_ops *ops, struct client *client)
{
	struct sl_handshake *key = &client->handshake;

	/* An IPv6 socket that speaks IPv4 keeps both (sk_rcv_saddr_set, 6.18), this one for sure.
	 */
	if (is_mapped(client->destination.ip))
		ipv4_addresses(ops, key);
	else
		ipv6_addresses(ops, key);
	key->local_port = sl_port_of_sock_ops_local(ops->local_port);
	key->remote_port = sl_port_of_sock_ops_remote(ops->remote_port);
	key->isn = ops->snd_nxt;
	bpf_map_update_elem(&handshakes, key, &client->destination, BPF_ANY);
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	return PASS;
}

/* On the cgroup whose connections are intercepted. */
SEC("sockops")
int follow_client(struct bpf_sock_ops *ops)
{
	__u32 op = ops->op;
	struct bpf_sock *socket;
	struct client *client;

	if (op != BPF_SOCK_OPS_TIMEOUT_INIT && op != BPF_SOCK_OPS_STATE_CB)
		return PASS;
	if (op == BPF_SOCK_OPS_STATE_CB && ops->args[1] != TCP_CLOSE)
		return PASS;
	socket = ops->sk;
	client = socket ? bpf_sk_storage_get(&clients, socket, NULL, 0) : NULL;
	if (!client || !is_led_here(client))
		return PASS;
	if (op == BPF_SOCK_OPS_TIMEOUT_INIT)
		return announce(ops, client);
	/* Not there any more if it was taken. */
	bpf_map_delete_elem(&handshakes, &client->handshake);
	return PASS;
}

/* On the cgroup that holds proxyd. */
SEC("sockops")
int meet_client(struct bpf_sock_ops *ops)
{
	struct sl_handshake mirrored = {}, key = {};
	struct sl_destination *known, *destination;
	struct bpf_sock *socket;

	if (ops->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return PASS;
	socket = ops->sk;
	known = socket ? bpf_sk_storage_get(&ours, socket, NULL, 0) : NULL;
	if (!known)
		return PASS;
	if (ops->family == AF_INET)
		ipv4_addresses(ops, &mirrored);
	else
		ipv6_addresses(ops, &mirrored);
	__builtin_memcpy(key.local_ip, mirrored.remote_ip, sizeof(key.local_ip));
	__builtin_memcpy(key.remote_ip, mirrored.local_ip, sizeof(key.remote_ip));
	key.local_port = sl_port_of_sock_ops_remote(ops->remote_port);
	key.remote_port = sl_port_of_sock_ops_local(ops->local_port);
	key.isn = ops->rcv_nxt - 1;
	destination = bpf_map_lookup_elem(&handshakes, &key);
	if (!destination)
		return PASS;
	*known = *destination;
	bpf_map_delete_elem(&handshakes, &key);
	return PASS;
}
