/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DNS_H
#define PROXYD_DNS_H

/*
 * Questions to name servers, without waiting for them: c-ares on an event base. (libevent's evdns
 * has no SRV and tells no TTL of an IPv6 address apart; getaddrinfo() blocks and tells none at
 * all.)
 */

#include <event2/event.h>
#include <stdbool.h>

#include "config/config.h"
#include "policy/dns_answer.h"

struct dns;

/*
 * `servers`: "192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:53"; empty: those of /etc/resolv.conf,
 * whose search domains and ndots hold in any case. Returns 0, -EINVAL for a server that is no
 * address, or -ENOMEM.
 */
int dns_new(struct event_base *base, const struct string_list *servers, struct dns **out);

enum dns_outcome {
	DNS_FOUND,
	DNS_NOTHING, /* the server says: there is no such name, or no such record */
	DNS_FAILED,  /* no server that says anything */
	DNS_STOPPED, /* dns_free() came before the answer */
};

/*
 * `answer` is owned by the callee, and has records with DNS_FOUND only; its TTL is also that of
 * DNS_NOTHING. `reason`: for people, in a few words.
 */
typedef void dns_done_fn(void *user, enum dns_outcome outcome, struct dns_answer *answer,
			 const char *reason);

/*
 * Ask for the records of one type. `done` is called exactly once, perhaps before this returns, and
 * at the latest by dns_free(). Search domains apply (resolv.conf(5)).
 */
void dns_ask(struct dns *dns, const char *name, enum dns_type type, dns_done_fn *done, void *user);

/*
 * The addresses that /etc/hosts has for a name, of both families, as answers without TTL. Returns
 * whether it has any; then the servers need not be asked. Free the records.
 */
bool dns_hosts(struct dns *dns, const char *name, struct dns_answer *ipv4, struct dns_answer *ipv6);

void dns_free(struct dns *dns);

#endif
