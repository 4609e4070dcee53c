/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_OFFERS_H
#define PROXYD_OFFERS_H

/*
 * The direct lane through the proxy: flows whose client and server may be paired with each other,
 * past proxyd's two sockets. The workers offer them; a thread of its own visits the sockets.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "sidelane/offer.h"

struct offers;

struct offers_options {
	const struct config *config; /* must stay */
	const char *control;         /* tells this proxyd from others that pin there */
	bool eager;                  /* for tests: whatever is eligible, at once */
	bool alternate;              /* for tests: everybody leaves from time to time */
};

/*
 * Load the lane, or adopt what a proxyd before has left. Returns 0 or -errno; it has said what went
 * wrong.
 */
int offers_new(const struct offers_options *options, struct offers **out);

/* Start the thread. Returns 0 or -errno. */
int offers_start(struct offers *offers);

/*
 * Stop the thread and take everybody out, with some patience: what somebody has not read by then
 * stays pinned. No flow may be offered any more. NULL is fine.
 */
void offers_free(struct offers *offers);

/*
 * Offer a flow by its two sockets' cookies, downstream first. It must be OPEN. `added`: bytes that
 * went upstream ahead of the client's, less those of the client's that did not (modulo 2^32).
 * Any thread. Returns 0 or -errno.
 */
int offers_add(struct offers *offers, const uint64_t cookies[2], uint32_t added);

/* Take the offer back. Any thread. */
void offers_remove(struct offers *offers, const uint64_t cookies[2]);

/* What is noted for that one of a flow's sockets. Any thread. Returns 0 or -errno. */
int offers_look(const struct offers *offers, uint64_t cookie, struct sl_offer *out);

struct offers_report {
	unsigned int flows; /* offered now */
	unsigned int sockets[SL_REASONS];
	uint64_t bytes[2]; /* since proxyd was started, by direction */
};

void offers_ask(const struct offers *offers, struct offers_report *report);

#endif
