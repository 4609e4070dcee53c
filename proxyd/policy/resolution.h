/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_RESOLUTION_H
#define PROXYD_RESOLUTION_H

/* From DNS records to the addresses of one endpoint of the config. */

#include <stdbool.h>

#include "policy/dns_answer.h"
#include "policy/upstream.h"

/* What holds for all addresses of one host. */
struct resolution_host {
	uint16_t port;
	bool is_target; /* of an SRV record; the rest is of that */
	uint16_t priority;
	uint16_t weight;
};

struct candidate {
	struct address address;
	struct resolution_host host;
};

struct resolution {
	struct candidate *items;
	unsigned int count, room;
};

/* Add a host's A or AAAA records. Returns 0 or -ENOMEM. Begin with {0}. */
int resolution_add(struct resolution *resolution, const struct resolution_host *host,
		   enum dns_type type, const struct dns_record *records, unsigned int count);

/*
 * Leave out addresses to which there is no route, if there is one to others: a name with addresses
 * of both families is common on machines with one of them. `mark`, `interface` (may be NULL): of
 * the sockets to come. Sends nothing.
 */
void resolution_prune(struct resolution *resolution, uint32_t mark, const char *interface);

/*
 * The result, at most `room` of it: each address once, sorted, so that a rotated answer is the
 * same; records of the lowest priority are primary, all others backup; weights as endpoints may
 * have them (1 to 256), 0 for all if they do not differ from 0. Returns the number of all there
 * were.
 */
unsigned int resolution_finish(struct resolution *resolution, struct resolved *out,
			       unsigned int room);

void resolution_free(struct resolution *resolution);

#endif
