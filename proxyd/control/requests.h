/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_REQUESTS_H
#define PROXYD_REQUESTS_H

/*
 * What the control socket is asked: one JSON object with "command" and its operands, answered by
 * one JSON object, which has "error" when the command was not carried out.
 *
 *   status
 *   connections  "next": from the answer before, or 0; optional "listener", "upstream": only its
 *                flows. The answer's "next" is null when there are no more.
 *   reload
 *   drain   "target": a listener's name, or "UPSTREAM/ENDPOINT"; "undo": true takes the latter back
 *   weight  "target": "UPSTREAM/ENDPOINT"; "weight": 0 to 256
 */

#include <jansson.h>

#include "proxy.h"

struct requests {
	struct proxy *proxy;
	/*
	 * Read the config again. Returns 0; -ENOENT: it did not come from a file; -EBUSY: proxyd is
	 * stopping; -EINVAL: the running config stays, and the log says why.
	 */
	int (*reload)(void *user);
	void *user;
};

/* Returns a new reference, NULL without memory. */
json_t *requests_execute(const struct requests *requests, const char *line);

#endif
