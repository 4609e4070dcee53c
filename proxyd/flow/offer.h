/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_OFFER_H
#define PROXYD_OFFER_H

/* A flow in the direct lane (direct/offers.h). */

#include "flow/flow.h"

/*
 * Whether the flow, which has just become OPEN, may ever be offered: what goes direct is not read
 * here, so nobody may limit, copy or change its bytes. `bandwidth`: the limit of the flow's own.
 */
bool offer_allowed(const struct flow *flow, uint64_t bandwidth);

/* Offer the flow if it may be and is not yet. */
void offer_make(struct flow *flow);

/* Its sockets are closed. */
void offer_withdraw(struct flow *flow);

/* Worker clock, ms: when a message of the flow last went direct; 0: never. */
uint64_t offer_active_ms(const struct flow *flow);

#endif
