/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_OFFER_H
#define PROXYD_OFFER_H

/* A flow in the direct lane (direct/offers.h). */

#include "flow/flow.h"

enum offer_state {
	OFFER_NEVER,   /* see offer_allowed() */
	OFFER_AWAITED, /* to be made when it has shown a dialogue */
	OFFER_MADE,
	OFFER_FAILED, /* too many are offered, or no memory */
};

/*
 * Whether the flow, which has just become OPEN, may ever be offered: what goes direct is not read
 * here, so nobody may limit, copy or change its bytes. `bandwidth`: the limit of the flow's own.
 */
bool offer_allowed(const struct flow *flow, uint64_t bandwidth);

/* Offer the flow if it may be and is not yet. */
void offer_make(struct flow *flow);

/* Its sockets are closed. */
void offer_withdraw(struct flow *flow);

struct offer_sight {
	uint64_t
		active_ms; /* worker clock: when a message of the flow last went direct; 0: never */
	uint64_t bytes[2]; /* that went direct, by direction */
	uint8_t reasons[2]; /* enum sl_direct_reason, of the client's end and the server's */
};

/* What the lane knows of the flow; zeros where it was not offered. */
void offer_look(const struct flow *flow, struct offer_sight *out);

#endif
