/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_RECORD_H
#define PROXYD_RECORD_H

/*
 * What the access log wants to know of a flow, noted as it goes along. While there is no such log a
 * flow has no record, and all of this does nothing.
 */

#include "flow/flow.h"

struct record {
	uint64_t accepted_us;            /* CLOCK_MONOTONIC, as all of these */
	uint64_t connect_us;             /* the first try to connect; 0: none yet */
	uint64_t opened_us;              /* 0: not yet */
	struct address endpoint, source; /* of an open flow */
	const char *detail; /* of its fault; stays for ever; NULL: there is no more to say */
};

/* It was accepted. Without memory there is no record. */
void record_begin(struct flow *flow);

void record_connect(struct flow *flow);
void record_opened(struct flow *flow);

/* Its sockets are closed, nothing else is freed: write the line. */
void record_end(struct flow *flow);

#endif
