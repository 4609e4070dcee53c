// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/dns_answer.h"

#include <arpa/nameser.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SRV_HEAD 6  /* priority, weight, port (RFC 2782) */
#define SOA_TAIL 20 /* serial, refresh, retry, expire, minimum (RFC 1035, 3.3.13) */

/* RFC 2181, 8: with the most significant bit set it is 0. */
static uint32_t ttl_of(uint32_t ttl)
{
	return ttl > INT32_MAX ? 0 : ttl;
}

static uint32_t lower(uint32_t left, uint32_t right)
{
	return left < right ? left : right;
}

/* Labels go into queries and log lines again: letters, digits, hyphens, and underscores. */
static bool is_host_name(const char *name)
{
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			return false;
	return true;
}

static bool read_srv(ns_msg *message, const ns_rr *rr, struct dns_record *out)
{
	const unsigned char *data = ns_rr_rdata(*rr);

	if (ns_rr_rdlen(*rr) <= SRV_HEAD)
		return false;
	out->srv.priority = ns_get16(data);
	out->srv.weight = ns_get16(data + 2);
	out->srv.port = ns_get16(data + 4);
	/* The root, ".", is read as "": no such service here. */
	return ns_name_uncompress(ns_msg_base(*message), ns_msg_end(*message), data + SRV_HEAD,
				  out->srv.target, sizeof(out->srv.target)) >= 0 &&
	       is_host_name(out->srv.target);
}

static bool read_record(ns_msg *message, const ns_rr *rr, enum dns_type type,
			struct dns_record *out)
{
	memset(out, 0, sizeof(*out)); /* records are compared as bytes */
	switch (type) {
	case DNS_A:
		if (ns_rr_rdlen(*rr) != sizeof(out->ipv4))
			return false;
		memcpy(&out->ipv4, ns_rr_rdata(*rr), sizeof(out->ipv4));
		return true;
	case DNS_AAAA:
		if (ns_rr_rdlen(*rr) != sizeof(out->ipv6))
			return false;
		memcpy(&out->ipv6, ns_rr_rdata(*rr), sizeof(out->ipv6));
		return true;
	case DNS_SRV:
		return read_srv(message, rr, out);
	}
	return false;
}

/* The lower of the SOA's own TTL and its last field (RFC 2308, 5). */
static uint32_t negative_ttl(ns_msg *message)
{
	for (int i = 0; i < ns_msg_count(*message, ns_s_ns); i++) {
		ns_rr rr;

		if (ns_parserr(message, ns_s_ns, i, &rr))
			break;
		if (ns_rr_type(rr) == ns_t_soa && ns_rr_rdlen(rr) > SOA_TAIL)
			return lower(ttl_of(ns_rr_ttl(rr)),
				     ttl_of(ns_get32(ns_rr_rdata(rr) + ns_rr_rdlen(rr) - 4)));
	}
	return DNS_TTL_NONE;
}

static int by_content(const void *left, const void *right)
{
	return memcmp(left, right, sizeof(struct dns_record));
}

/* Cut off only when sorted: servers rotate their answers, and the same ones should stay. */
static void sort_out(struct dns_answer *answer)
{
	struct dns_record *records;
	unsigned int kept = 0;

	qsort(answer->records, answer->count, sizeof(*answer->records), by_content);
	for (unsigned int i = 0; i < answer->count; i++)
		if (!i || by_content(&answer->records[i], &answer->records[kept - 1]))
			answer->records[kept++] = answer->records[i];
	answer->count = kept < DNS_RECORDS_MAX ? kept : DNS_RECORDS_MAX;
	records = realloc(answer->records, (answer->count + 1) * sizeof(*records));
	if (records)
		answer->records = records;
}

/* A message that is cut off somewhere is refused as a whole. */
static int read_records(ns_msg *message, enum dns_type type, struct dns_answer *out)
{
	for (int i = 0; i < ns_msg_count(*message, ns_s_an); i++) {
		ns_rr rr;

		if (ns_parserr(message, ns_s_an, i, &rr))
			return -EBADMSG;
		if (ns_rr_class(rr) != ns_c_in)
			continue;
		if ((int)ns_rr_type(rr) == (int)type &&
		    read_record(message, &rr, type, &out->records[out->count]))
			out->count++;
		out->ttl = lower(out->ttl, ttl_of(ns_rr_ttl(rr)));
	}
	return 0;
}

int dns_answer_parse(const unsigned char *message, size_t length, enum dns_type type,
		     struct dns_answer *out)
{
	struct dns_answer answer = {.ttl = DNS_TTL_NONE};
	ns_msg parsed;
	int err;

	if (length > INT_MAX || ns_initparse(message, (int)length, &parsed))
		return -EBADMSG;
	/* At most 64 KiB of them: ns_initparse() has walked over what the header promises. */
	answer.records = calloc(ns_msg_count(parsed, ns_s_an) + 1U, sizeof(*answer.records));
	if (!answer.records)
		return -ENOMEM;
	err = read_records(&parsed, type, &answer);
	if (err) {
		free(answer.records);
		return err;
	}
	sort_out(&answer);
	if (!answer.count)
		answer.ttl = negative_ttl(&parsed);
	*out = answer;
	return 0;
}
