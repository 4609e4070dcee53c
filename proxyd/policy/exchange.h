/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_EXCHANGE_H
#define PROXYD_EXCHANGE_H

/* What a check says to a server, and which answers are good ones. */

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>

#include "config/config.h"

enum verdict {
	VERDICT_OPEN, /* it may still become either */
	VERDICT_PASSED,
	VERDICT_FAILED,
};

/* Append what is said to the server at `to`; nothing, for some checks. Returns 0 or -ENOMEM. */
int exchange_request(const struct config_health *health, const struct address *to,
		     struct evbuffer *out);

/*
 * Judge what has come, all of it from the first byte on. `last`: no more comes, or no more is
 * looked at; the verdict is then not VERDICT_OPEN. With a verdict, `reason` says why in a few
 * words.
 */
enum verdict exchange_judge(const struct config_health *health, const char *answer, size_t length,
			    bool last, char *reason, size_t reason_size);

#endif
