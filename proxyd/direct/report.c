// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "direct/report.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *text;
} reasons[SL_REASONS] = {
	[SL_REASON_NONE] = {"in_lane", "in the lane"},
	[SL_REASON_STOPPING] = {"stopping", "acceleration is being stopped"},
	[SL_REASON_FILTERED] = {"filtered", "left out by port, address or uid"},
	[SL_REASON_EXISTING] = {"existing", "there before proxyd, without --existing"},
	[SL_REASON_STATE] = {"state", "not established, or half-closed"},
	[SL_REASON_NOT_ACCEPTED] = {"not_accepted", "not accepted yet, or closed"},
	[SL_REASON_PROTOCOL] = {"protocol", "MPTCP, kernel TLS, or in another socket map"},
	[SL_REASON_BLOCKING] = {"blocking", "not O_NONBLOCK"},
	[SL_REASON_LOWAT] = {"rcvlowat", "SO_RCVLOWAT"},
	[SL_REASON_ZEROCOPY] = {"zerocopy", "SO_ZEROCOPY"},
	[SL_REASON_TIMESTAMPS] = {"timestamps", "SO_TIMESTAMP or SO_TIMESTAMPING"},
	[SL_REASON_URGENT] = {"urgent", "urgent data or SO_OOBINLINE"},
	[SL_REASON_SOCK_FILTER] = {"socket_filter", "SO_ATTACH_FILTER"},
	[SL_REASON_OPTION] = {"option", "TCP_INQ, TCP_REPAIR or SO_PEEK_OFF"},
	[SL_REASON_MEMORY] = {"memory", "the kernel is short of memory for TCP"},
	[SL_REASON_TRAFFIC] = {"traffic", "no dialogue, or not long enough"},
	[SL_REASON_PROGRAM] = {"program", "held by a program that is not known (--program)"},
	[SL_REASON_TRANSLATED] = {"translated", "addresses are translated (--translated)"},
	[SL_REASON_NO_PEER] = {"no_peer", "the other end is not here or does not qualify"},
	[SL_REASON_READING] = {"reading", "a thread of its programs may be reading; tried again"},
	[SL_REASON_NO_ROOM] = {"no_room", "the socket map is full or refuses it"},
	[SL_REASON_LEAVING] = {"leaving", "leaves when nothing is under way"},
};

const char *direct_reason_name(enum sl_direct_reason reason)
{
	return reason < SL_REASONS ? reasons[reason].name : NULL;
}

const char *direct_reason_text(enum sl_direct_reason reason)
{
	return reason < SL_REASONS ? reasons[reason].text : NULL;
}

static const char *format(const __be32 ip[4], __u16 port, char text[64])
{
	char host[INET6_ADDRSTRLEN] = "";

	if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)ip)) {
		inet_ntop(AF_INET, &ip[3], host, sizeof(host));
		snprintf(text, 64, "%s:%u", host, port);
	} else {
		inet_ntop(AF_INET6, ip, host, sizeof(host));
		snprintf(text, 64, "[%s]:%u", host, port);
	}
	return text;
}

static json_t *waits_json(__u32 waits)
{
	json_t *list = json_array();

	if (waits & SL_WAITS_READER)
		json_array_append_new(list, json_string("reader"));
	if (waits & SL_WAITS_CALL)
		json_array_append_new(list, json_string("call"));
	if (waits & SL_WAITS_OTHER)
		json_array_append_new(list, json_string("other_end"));
	return list;
}

void direct_report_add(const struct sl_sighting *sighting, void *user)
{
	const struct sl_direct_subject *subject = &sighting->subject;
	char local[64], remote[64];
	json_t *socket;

	if (sighting->reason >= SL_REASONS)
		return;
	socket = json_pack("{s:s,s:s,s:I,s:s,s:I,s:I}", "local",
			   format(subject->local_ip, subject->local_port, local), "remote",
			   format(subject->remote_ip, subject->remote_port, remote), "uid",
			   (json_int_t)subject->uid, "reason", reasons[sighting->reason].name,
			   "direct_bytes", (json_int_t)sighting->shares.direct, "passed_bytes",
			   (json_int_t)sighting->shares.passed);
	if (sighting->state == SL_END_LEAVING)
		json_object_set_new(socket, "waits_for", waits_json(sighting->waits));
	json_array_append_new(user, socket);
}

json_t *direct_report_sockets(const unsigned int counts[SL_REASONS])
{
	json_t *by_reason = json_object();

	for (int i = 0; i < SL_REASONS; i++)
		json_object_set_new(by_reason, reasons[i].name, json_integer(counts[i]));
	return by_reason;
}

void direct_report_print_json(const struct direct_report *report)
{
	const struct sl_direct_totals *totals = &report->totals;
	json_t *by_reason = direct_report_sockets(report->counts.reasons);
	json_t *object;

	object = json_pack("{s:b,s:b,s:o,s:{s:I,s:I},s:{s:I,s:I,s:I,s:I,s:I}}", "dry_run",
			   report->dry, "running", report->running, "sockets", by_reason, "bytes",
			   "direct", (json_int_t)totals->direct, "tcp", (json_int_t)totals->passed,
			   "messages", "direct", (json_int_t)totals->messages[SL_DIRECT_GO],
			   "unread", (json_int_t)totals->messages[SL_DIRECT_UNREAD], "full",
			   (json_int_t)totals->messages[SL_DIRECT_FULL], "hindered",
			   (json_int_t)totals->messages[SL_DIRECT_HINDERED], "vanished",
			   (json_int_t)totals->vanished);
	if (report->connections)
		json_object_set(object, "connections", report->connections);
	json_dumpf(object, stdout, JSON_INDENT(2));
	printf("\n");
	json_decref(object);
}

static void print_connections(const json_t *connections)
{
	const json_t *socket;
	size_t i;

	json_array_foreach(connections, i, socket)
	{
		const char *local, *remote, *reason;

		if (json_unpack((json_t *)socket, "{s:s,s:s,s:s}", "local", &local, "remote",
				&remote, "reason", &reason))
			continue;
		printf("%-28s %-28s %s\n", local, remote, reason);
	}
}

void direct_report_print(const struct direct_report *report)
{
	const struct sl_direct_totals *totals = &report->totals;

	printf("sockets\n");
	for (int i = 0; i < SL_REASONS; i++)
		if (report->counts.reasons[i] || i == SL_REASON_NONE)
			printf("  %8u  %-14s %s\n", report->counts.reasons[i], reasons[i].name,
			       i == SL_REASON_NONE && report->dry ? "would be in the lane"
								  : reasons[i].text);
	if (!report->dry)
		printf("since the lane was made\n"
		       "  %llu bytes direct, %llu by TCP from sockets in the lane\n"
		       "  messages: %llu direct; by TCP: %llu behind unread bytes, %llu past the "
		       "window, %llu hindered\n"
		       "%s",
		       (unsigned long long)totals->direct, (unsigned long long)totals->passed,
		       (unsigned long long)totals->messages[SL_DIRECT_GO],
		       (unsigned long long)totals->messages[SL_DIRECT_UNREAD],
		       (unsigned long long)totals->messages[SL_DIRECT_FULL],
		       (unsigned long long)totals->messages[SL_DIRECT_HINDERED],
		       report->running ? ""
				       : "no proxyd looks after it: nobody enters or leaves\n");
	if (report->connections)
		print_connections(report->connections);
}
