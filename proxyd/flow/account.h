/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ACCOUNT_H
#define PROXYD_ACCOUNT_H

/* What a flow is and what it has carried so far, for those who show it to people. */

#include "flow/flow.h"
#include "sidelane/direct.h"

enum account_lane {
	ACCOUNT_RELAY,
	ACCOUNT_KERNEL,
	ACCOUNT_DIRECT,
	ACCOUNT_LANES,
};

/* Why a flow is not offered to the direct lane, or that it is. */
enum account_offer {
	ACCOUNT_NO_LANE, /* there is none */
	ACCOUNT_LIMITED, /* proxyd must have its bytes in its hands */
	ACCOUNT_AWAITED, /* it has not shown a dialogue yet, or is not open */
	ACCOUNT_NO_ROOM, /* too many are offered */
	ACCOUNT_OFFERED,
};

/* A name in a configuration has 63 letters at most. */
#define ACCOUNT_NAME 64

struct account {
	uint64_t id;                      /* of this flow alone, while proxyd runs */
	uint64_t age_ms;                  /* since it was accepted */
	uint64_t idle_ms;                 /* since a byte last moved; unless it is open, its age */
	uint64_t bytes[2][ACCOUNT_LANES]; /* by direction; with PROXY headers that proxyd sent */
	uint8_t lanes[2];                 /* enum account_lane, now, by direction */
	uint8_t state;                    /* enum flow_state */
	uint8_t offer;                    /* enum account_offer */
	uint8_t reasons[2]; /* OFFERED: enum sl_direct_reason, of the client, the server */
	char listener[ACCOUNT_NAME];
	char upstream[ACCOUNT_NAME]; /* empty: to the original destination, or not known yet */
	struct address client;
	struct address endpoint; /* where it is, or is to be, connected; length 0: not known yet */
	struct address source;   /* as whom; length 0: not connected yet */
};

/* The names that are needed to tell whether somebody wants to see the flow. "" where unknown. */
const char *account_listener(const struct flow *flow);
const char *account_upstream(const struct flow *flow);

/* What getsockname or getpeername, as `ask`, say of a socket; length 0 if they fail. */
void account_address(struct address *out, int fd, int (*ask)(int, struct sockaddr *, socklen_t *));

/* In the flow's worker. Asks the kernel: a few microseconds. */
void account_take(const struct flow *flow, struct account *out);

/*
 * What is left to tell when its sockets are closed, and nothing else is freed: who it was, where it
 * was to go, if that is still known, and its bytes.
 */
void account_close(const struct flow *flow, struct account *out);

/* Worker clock, ms: when a byte of an open flow last moved, in whatever lane. */
uint64_t account_last_active_ms(const struct flow *flow);

#endif
