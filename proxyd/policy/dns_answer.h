/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DNS_ANSWER_H
#define PROXYD_DNS_ANSWER_H

/* What a DNS message says of a name: the records of one type, and how long that holds. */

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

/* As in the protocol. */
enum dns_type {
	DNS_A = 1,
	DNS_AAAA = 28,
	DNS_SRV = 33,
};

#define DNS_NAME 256 /* RFC 1035, 2.3.4, with its end */

/* More records of a name than this are left out. */
#define DNS_RECORDS_MAX 256

struct dns_record {
	union {
		struct in_addr ipv4;  /* DNS_A */
		struct in6_addr ipv6; /* DNS_AAAA */
		struct {              /* DNS_SRV */
			uint16_t priority;
			uint16_t weight;
			uint16_t port;
			char target[DNS_NAME]; /* a host name; "" where there is no service */
		} srv;
	};
};

#define DNS_TTL_NONE UINT32_MAX

struct dns_answer {
	struct dns_record *records; /* sorted, each once; unused bytes are 0 */
	unsigned int count;
	uint32_t ttl; /* seconds; DNS_TTL_NONE: the message does not say */
};

/*
 * Read a message: the records of `type`, whoever owns them (CNAMEs were followed by the server),
 * and the lowest TTL of the answer; where there are none, the negative TTL (RFC 2308, 5). SRV
 * targets that are no host names are left out. Returns 0, -EBADMSG or -ENOMEM. Free the records.
 */
int dns_answer_parse(const unsigned char *message, size_t length, enum dns_type type,
		     struct dns_answer *out);

#endif
