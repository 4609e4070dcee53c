// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/dns.h"

#include <ares.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

/*
 * The first try of each server, in ms, doubled for the next; a server that says nothing at all has
 * failed after 2 + 4 + 8 s.
 */
#define TIMEOUT_MS 2000
#define TRIES      3

/* What passes through every network in one UDP packet; what is longer comes by TCP. */
#define UDP_SIZE 1232

/* A socket of c-ares, as long as it wants to hear of it. */
struct dns_socket {
	LIST_ENTRY(dns_socket) by_dns;
	struct dns *dns;
	struct event *event;
	int fd;
};

struct dns {
	struct event_base *base;
	ares_channel channel;
	bool library;
	struct event *timer;
	LIST_HEAD(, dns_socket) sockets;
};

struct question {
	dns_done_fn *done;
	void *user;
	enum dns_type type;
};

/* --- c-ares on the event base ------------------------------------------------------------- */

static void set_timer(struct dns *dns)
{
	struct timeval wait;

	if (ares_timeout(dns->channel, NULL, &wait))
		evtimer_add(dns->timer, &wait);
	else
		evtimer_del(dns->timer);
}

static void on_timer(evutil_socket_t fd, short what, void *user)
{
	struct dns *dns = user;

	(void)fd;
	(void)what;
	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	set_timer(dns);
}

static void on_socket(evutil_socket_t fd, short what, void *user)
{
	struct dns *dns = user;

	ares_process_fd(dns->channel, what & EV_READ ? fd : ARES_SOCKET_BAD,
			what & EV_WRITE ? fd : ARES_SOCKET_BAD);
	set_timer(dns);
}

static void close_socket(struct dns_socket *found)
{
	LIST_REMOVE(found, by_dns);
	if (found->event)
		event_free(found->event);
	free(found);
}

/*
 * What is missed here out of memory is an answer: its question ends by the timeout.
 */
static void on_socket_state(void *user, ares_socket_t fd, int readable, int writable)
{
	short what = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	struct dns *dns = user;
	struct dns_socket *found;

	LIST_FOREACH(found, &dns->sockets, by_dns)
	if (found->fd == fd)
		break;
	if (found)
		close_socket(found);
	if (!what)
		return;
	found = calloc(1, sizeof(*found));
	if (!found)
		return;
	found->dns = dns;
	found->fd = fd;
	LIST_INSERT_HEAD(&dns->sockets, found, by_dns);
	found->event = event_new(dns->base, fd, (short)(what | EV_PERSIST), on_socket, dns);
	if (found->event)
		event_add(found->event, NULL);
}

/* --- Servers ------------------------------------------------------------------------------ */

static int error_of(int status)
{
	switch (status) {
	case ARES_SUCCESS:
		return 0;
	case ARES_ENOMEM:
		return -ENOMEM;
	case ARES_EFILE:
		return -EIO;
	default:
		return -EINVAL;
	}
}

static int set_servers(struct dns *dns, const struct string_list *servers)
{
	size_t size = 1, used = 0;
	char *list;
	int status;

	if (!servers->count)
		return 0;
	for (unsigned int i = 0; i < servers->count; i++)
		size += strlen(servers->items[i]) + 1;
	list = malloc(size);
	if (!list)
		return -ENOMEM;
	for (unsigned int i = 0; i < servers->count; i++)
		used += (size_t)snprintf(list + used, size - used, "%s%s", i ? "," : "",
					 servers->items[i]);
	status = ares_set_servers_ports_csv(dns->channel, list);
	free(list);
	return error_of(status);
}

static int open_channel(struct dns *dns, const struct string_list *servers)
{
	struct ares_options options = {
		/* Without HOSTALIASES, a file that a daemon need not look into. */
		.flags = ARES_FLAG_EDNS | ARES_FLAG_NOALIASES,
		.timeout = TIMEOUT_MS,
		.tries = TRIES,
		.ednspsz = UDP_SIZE,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = dns,
	};
	const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
			 ARES_OPT_SOCK_STATE_CB;
	int status = ares_library_init(ARES_LIB_INIT_ALL);

	dns->library = status == ARES_SUCCESS;
	if (dns->library)
		status = ares_init_options(&dns->channel, &options, mask);
	if (status != ARES_SUCCESS) {
		dns->channel = NULL;
		return error_of(status);
	}
	return set_servers(dns, servers);
}

int dns_new(struct event_base *base, const struct string_list *servers, struct dns **out)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	int err;

	if (!dns)
		return -ENOMEM;
	dns->base = base;
	LIST_INIT(&dns->sockets);
	dns->timer = evtimer_new(base, on_timer, dns);
	err = dns->timer ? open_channel(dns, servers) : -ENOMEM;
	if (err) {
		dns_free(dns);
		return err;
	}
	*out = dns;
	return 0;
}

void dns_free(struct dns *dns)
{
	struct dns_socket *found, *next;

	if (!dns)
		return;
	if (dns->channel)
		ares_destroy(dns->channel); /* answers every question */
	for (found = LIST_FIRST(&dns->sockets); found; found = next) {
		next = LIST_NEXT(found, by_dns);
		close_socket(found);
	}
	if (dns->library)
		ares_library_cleanup();
	if (dns->timer)
		event_free(dns->timer);
	free(dns);
}

/* --- Questions ---------------------------------------------------------------------------- */

static void on_answer(void *user, int status, int timeouts, unsigned char *message, int length)
{
	struct question *question = user;
	struct dns_answer answer = {.ttl = DNS_TTL_NONE};
	enum dns_outcome outcome = DNS_FAILED;
	const char *reason = ares_strerror(status);
	bool usable = status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND;

	(void)timeouts;
	if (usable && message &&
	    dns_answer_parse(message, (size_t)length, question->type, &answer)) {
		usable = false;
		reason = "malformed answer";
	}
	if (usable)
		outcome = answer.count ? DNS_FOUND : DNS_NOTHING;
	else if (status == ARES_EDESTRUCTION)
		outcome = DNS_STOPPED;
	if (outcome == DNS_NOTHING)
		reason = status == ARES_ENOTFOUND ? "no such name" : "no such record";
	question->done(question->user, outcome, &answer, reason);
	free(question);
}

void dns_ask(struct dns *dns, const char *name, enum dns_type type, dns_done_fn *done, void *user)
{
	struct dns_answer nothing = {.ttl = DNS_TTL_NONE};
	struct question *question = malloc(sizeof(*question));

	if (!question) {
		done(user, DNS_FAILED, &nothing, strerror(ENOMEM));
		return;
	}
	*question = (struct question){.done = done, .user = user, .type = type};
	ares_search(dns->channel, name, ns_c_in, (int)type, on_answer, question);
	set_timer(dns);
}

/* c-ares gives the first address of each family. */
static bool host_of_file(struct dns *dns, const char *name, int family, struct dns_answer *out)
{
	struct hostent *host;
	struct dns_record *record;

	*out = (struct dns_answer){.ttl = DNS_TTL_NONE};
	if (ares_gethostbyname_file(dns->channel, name, family, &host) != ARES_SUCCESS)
		return false;
	record = calloc(1, sizeof(*record));
	if (record && host->h_addr_list[0] && host->h_length <= (int)sizeof(record->ipv6)) {
		memcpy(&record->ipv6, host->h_addr_list[0], (size_t)host->h_length);
		out->records = record;
		out->count = 1;
	} else {
		free(record);
	}
	ares_free_hostent(host);
	return out->count != 0;
}

bool dns_hosts(struct dns *dns, const char *name, struct dns_answer *ipv4, struct dns_answer *ipv6)
{
	bool has_ipv4 = host_of_file(dns, name, AF_INET, ipv4);

	return host_of_file(dns, name, AF_INET6, ipv6) || has_ipv4;
}
