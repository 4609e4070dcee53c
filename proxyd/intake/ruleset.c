// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/ruleset.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "intake/listener.h"
#include "log.h"
#include "sidelane/mark.h"

/* Before anybody else translates the destination, at -100; before the routing decision, at mangle.
 */
#define NAT_PRIORITY    (-101)
#define TPROXY_PRIORITY (-150)

#define FLAGS           "tcp flags & (fin | syn | rst | ack)"

/* Of a connection; twice the family's word for IP. */
#define TUPLE "%s saddr . tcp sport . %s daddr . tcp dport"

const char *ruleset_name(const struct config_listener *listener, char name[RULESET_NAME])
{
	snprintf(name, RULESET_NAME, RULESET_PREFIX "%u_%s", ntohs(listener->address.ipv4.sin_port),
		 listener->name);
	/* All that a listener's name may have and nft's words may not. */
	for (char *at = name; *at; at++)
		if (*at == '-' || *at == '.')
			*at = '_';
	return name;
}

static bool is_tproxy(const struct config_listener *listener)
{
	return listener->intercept.mode == INTERCEPT_TPROXY;
}

/* ---- Parts of a rule ---------------------------------------------------------------------- */

/* Returns how many of the ranges are of the family. */
static unsigned int write_addresses(FILE *out, const char *before, const struct cidr_list *list,
				    bool ipv6)
{
	unsigned int count = 0;
	char text[CIDR_TEXT];

	for (unsigned int i = 0; i < list->count; i++) {
		const char *range = cidr_of_family(&list->items[i], ipv6, text);

		if (!range)
			continue;
		if (count++)
			fputs(", ", out);
		else
			fprintf(out, "%s%s daddr { ", before, ipv6 ? "ip6" : "ip");
		fputs(range, out);
	}
	if (count)
		fputs(" }", out);
	return count;
}

static void write_ranges(FILE *out, const char *what, const struct port_list *list)
{
	fprintf(out, " %s {", what);
	for (unsigned int i = 0; i < list->count; i++) {
		fprintf(out, "%s %u", i ? "," : "", list->items[i].first);
		if (list->items[i].last != list->items[i].first)
			fprintf(out, "-%u", list->items[i].last);
	}
	fputs(" }", out);
}

/*
 * Without connection tracking, answers look like what is asked: only a SYN begins a connection, and
 * what follows it is known by its socket.
 */
static void write_new(FILE *out, const struct config_listener *listener)
{
	if (is_tproxy(listener))
		fputs(" " FLAGS " == syn", out);
}

static void write_ports(FILE *out, const struct port_list *ports)
{
	if (ports->count)
		write_ranges(out, "tcp dport", ports);
	else
		fputs(" meta l4proto tcp", out);
}

/* ---- Rules -------------------------------------------------------------------------------- */

/*
 * With the last translating rule of a namespace conntrack is switched off (nf_ct_netns_put), and
 * with it the translation of live connections: no connection has port 0, so this one keeps it.
 */
static void write_keeper(FILE *out, unsigned int port)
{
	fprintf(out, "\t\ttcp dport 0 redirect to :%u\n", port);
}

static void write_tproxy(FILE *out, const struct config_listener *listener, bool ipv6)
{
	const struct address *address = &listener->address;
	char text[ADDRESS_TEXT];

	fprintf(out, " tproxy %s to ", ipv6 ? "ip6" : "ip");
	if (address_is_any(address))
		fprintf(out, ":%u", ntohs(address->ipv4.sin_port));
	else
		fputs(address_format(address, text), out);
}

static void write_acceptance(FILE *out)
{
	fprintf(out, " meta mark set meta mark | %#x accept\n", SL_MARK_LOCAL);
}

static void write_verdict(FILE *out, const struct config_listener *listener, bool ipv6)
{
	if (!is_tproxy(listener)) {
		fprintf(out, " redirect to :%u\n", ntohs(listener->address.ipv4.sin_port));
		return;
	}
	write_tproxy(out, listener, ipv6);
	/*
	 * It must be a whole socket: without a listener tproxy is content with the last user of the
	 * tuple, in TIME_WAIT, and TCP goes on to whoever listens at the destination itself (6.18,
	 * nf_tproxy_handle_time_wait4, tcp_v4_rcv: TCP_TW_SYN).
	 */
	fprintf(out, " socket wildcard %d", address_is_any(&listener->address));
	write_acceptance(out);
}

/*
 * With a SYN cookie there is no socket until the client has answered: who has asked is kept for as
 * long as that may take. Where there are too many of them, their answers go by.
 */
static void write_asked_sets(FILE *out)
{
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		const char *type = ipv6 ? "ipv6_addr" : "ipv4_addr";

		fprintf(out,
			"\tset asked_%s {\n"
			"\t\ttype %s . inet_service . %s . inet_service\n"
			"\t\tsize 65536\n"
			"\t\tflags dynamic, timeout\n"
			"\t\ttimeout 10s\n"
			"\t}\n",
			ipv6 ? "ip6" : "ip", type, type);
	}
}

/* Returns false when there is nothing of the family. */
static bool write_match(FILE *out, const struct config_listener *listener, bool ipv6)
{
	const struct config_intercept *intercept = &listener->intercept;

	fprintf(out, "\t\tmeta nfproto %s", ipv6 ? "ipv6" : "ipv4");
	if (intercept->destinations.count &&
	    !write_addresses(out, " ", &intercept->destinations, ipv6)) {
		fputs(" return\n", out);
		return false;
	}
	write_ports(out, &intercept->ports);
	write_new(out, listener);
	return true;
}

static void write_taken(FILE *out, const struct config_listener *listener, bool ipv6)
{
	const struct config_intercept *intercept = &listener->intercept;
	const char *ip = ipv6 ? "ip6" : "ip";

	if (!listener_takes(listener, ipv6))
		return;
	if (write_addresses(out, "\t\t", &intercept->exclude, ipv6))
		fputs(" return\n", out);
	if (!write_match(out, listener, ipv6))
		return;
	if (is_tproxy(listener)) {
		fprintf(out, " update @asked_%s { " TUPLE " }\n", ip, ip, ip);
		write_match(out, listener, ipv6);
	}
	write_verdict(out, listener, ipv6);
	/* Without a socket, tproxy lets the next rule see the packet (nft_tproxy_eval, NFT_BREAK).
	 */
	if (is_tproxy(listener) && intercept->on_exit == INTERCEPT_EXIT_CLOSED) {
		write_match(out, listener, ipv6);
		fputs(" reject with tcp reset\n", out);
	}
}

static void write_common(FILE *out, const struct config_listener *listener, bool draining)
{
	if (is_tproxy(listener))
		write_asked_sets(out);
	fputs("\tchain taken {\n", out);
	if (draining && !is_tproxy(listener)) {
		write_keeper(out, ntohs(listener->address.ipv4.sin_port));
	} else if (!draining) {
		write_taken(out, listener, false);
		write_taken(out, listener, true);
	}
	fputs("\t}\n", out);
}

/* How deep a directory is in its file system, up to whose root `path` is cut. */
static int level_of(char *path, unsigned int *level)
{
	struct stat here, above;
	char *slash;

	*level = 0;
	if (stat(path, &here))
		return -EINVAL;
	while ((slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		if (stat(path, &above) || above.st_dev != here.st_dev)
			break;
		++*level;
	}
	return *level ? 0 : -EINVAL;
}

/* nft looks for it below /sys/fs/cgroup. */
static int write_cgroup(FILE *out, const char *directory)
{
	static const char root[] = "/sys/fs/cgroup/";
	char *path = realpath(directory, NULL), *copy;
	unsigned int level;
	int err;

	if (!path)
		return -errno;
	copy = strdup(path);
	err = copy ? level_of(copy, &level) : -ENOMEM;
	if (!err && !strncmp(path, root, strlen(root)))
		fprintf(out, " socket cgroupv2 level %u \"%s\"", level, path + strlen(root));
	else if (!err)
		fprintf(out, " socket cgroupv2 level %u \"../../..%s\"", level, path);
	free(copy);
	free(path);
	return err;
}

/* `direction`: "iifname", "oifname". */
static void write_interfaces(FILE *out, const char *direction, const struct string_list *interfaces)
{
	fputs(direction, out);
	if (!interfaces->count)
		fputs(" != \"lo\"", out);
	for (unsigned int i = 0; i < interfaces->count; i++)
		fprintf(out, "%s\"%s\"", i ? ", " : " { ", interfaces->items[i]);
	if (interfaces->count)
		fputs(" }", out);
}

static int write_local(FILE *out, const struct config_intercept *intercept)
{
	int err = 0;

	fprintf(out,
		"\tchain output {\n"
		"\t\ttype nat hook output priority %d; policy accept;\n"
		"\t\tmeta mark & %#x != 0 return\n\t\t",
		NAT_PRIORITY, SL_MARK_OWN);
	write_interfaces(out, "oifname", &intercept->interfaces);
	if (intercept->cgroup)
		err = write_cgroup(out, intercept->cgroup);
	if (intercept->users.count)
		write_ranges(out, "meta skuid", &intercept->users);
	fputs(" jump taken\n\t}\n", out);
	return err;
}

/* Of the packets that come in. */
static void write_coming(FILE *out, const struct config_intercept *intercept)
{
	static const struct {
		enum intercept_traffic traffic;
		const char *destination;
	} kinds[] = {
		{INTERCEPT_ROUTED, "fib daddr type unicast"},
		{INTERCEPT_INBOUND, "fib daddr type local"},
	};

	fprintf(out, "\t\tmeta mark & %#x != 0 return\n", SL_MARK_OWN);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!(intercept->traffic & kinds[i].traffic))
			continue;
		fputs("\t\t", out);
		write_interfaces(out, "iifname", &intercept->interfaces);
		fprintf(out, " %s jump taken\n", kinds[i].destination);
	}
}

/*
 * Packets of connections that were taken, or that proxyd made from another's address. `wildcard` is
 * not told of a handshake that is under way (6.18, nft_socket_eval: sk_fullsock); without it what
 * is for others and the listener's port would seem to be for the listener. A SYN is for nobody yet:
 * tproxy knows what to do where it meets the last user of its tuple in TIME_WAIT.
 */
static void write_known(FILE *out, const struct config_listener *listener)
{
	fprintf(out,
		"\t\t" FLAGS " != syn socket transparent 1 socket wildcard 0 "
		"meta mark set meta mark | %#x accept\n"
		"\t\ttcp dport != %u " FLAGS " != syn socket transparent 1 "
		"meta mark set meta mark | %#x accept\n",
		SL_MARK_LOCAL, ntohs(listener->address.ipv4.sin_port), SL_MARK_LOCAL);
	for (int ipv6 = 0; ipv6 < 2; ipv6++) {
		const char *ip = ipv6 ? "ip6" : "ip";

		if (!listener_takes(listener, ipv6))
			continue;
		fprintf(out, "\t\tmeta nfproto %s " FLAGS " != syn " TUPLE " @asked_%s",
			ipv6 ? "ipv6" : "ipv4", ip, ip, ip);
		write_tproxy(out, listener, ipv6);
		write_acceptance(out);
	}
}

static void write_prerouting(FILE *out, const struct config_listener *listener)
{
	bool tproxy = is_tproxy(listener);

	fprintf(out,
		"\tchain prerouting {\n"
		"\t\ttype %s hook prerouting priority %d; policy accept;\n",
		tproxy ? "filter" : "nat", tproxy ? TPROXY_PRIORITY : NAT_PRIORITY);
	if (tproxy)
		write_known(out, listener);
	write_coming(out, &listener->intercept);
	fputs("\t}\n", out);
}

/*
 * A SYN that meets the entry of an earlier connection is not translated again: it would go past
 * proxyd to where it was meant to go. Conntrack forgets that connection at a SYN if it has seen a
 * FIN, or a RST from the same side; one that the other side has reset, or never answered, it keeps
 * (6.18, nf_conntrack_tcp_packet). proxyd's own connections are to the same servers, and may be
 * from the same address, by a port that a client may get next: none of theirs may be left.
 */
static void write_own(FILE *out)
{
	fprintf(out,
		"\tct timeout own {\n"
		"\t\tprotocol tcp\n"
		"\t\tpolicy = { syn_sent : 5, close : 0 }\n"
		"\t}\n"
		"\tchain own {\n"
		"\t\ttype filter hook output priority %d; policy accept;\n"
		"\t\tmeta mark & %#x != 0 ct timeout set \"own\"\n"
		"\t}\n",
		NAT_PRIORITY, SL_MARK_OWN);
}

int ruleset_write(FILE *out, const struct config_listener *listener,
		  const struct ruleset_form *form)
{
	const struct config_intercept *intercept = &listener->intercept;
	char name[RULESET_NAME];
	int err = 0;

	fprintf(out, "table inet %s {\n", ruleset_name(listener, name));
	if (form->owned)
		fputs("\tflags owner\n", out);
	write_common(out, listener, form->draining);
	if (!is_tproxy(listener))
		write_own(out);
	if (intercept->traffic & INTERCEPT_LOCAL)
		err = write_local(out, intercept);
	if (err)
		log_error("listener %s: intercept.cgroup %s: %s; name a directory of a cgroup v2, "
			  "below its root",
			  listener->name, intercept->cgroup, strerror(-err));
	if (intercept->traffic & ~(unsigned int)INTERCEPT_LOCAL)
		write_prerouting(out, listener);
	fputs("}\n", out);
	return err;
}
