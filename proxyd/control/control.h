/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CONTROL_H
#define PROXYD_CONTROL_H

/*
 * The control socket: a unix stream socket that only proxyd's user may open. A client writes one
 * request as a line (requests.h), reads one JSON object, and is closed.
 */

#include <event2/event.h>
#include <jansson.h>

#include "control/requests.h"

struct control;

/*
 * Serve requests at `path`; a socket that a killed proxyd left there is replaced. While it is
 * served, a lock is held on a file beside it, PATH.lock. Returns 0 or -errno: -EADDRINUSE when
 * another proxyd has the path.
 */
int control_new(struct event_base *base, const struct requests *requests, const char *path,
		struct control **out);

/* Also removes the files. NULL is ignored. */
void control_free(struct control *control);

/*
 * The client's part: send a request, return the answer (a new reference), or NULL when there is
 * none within `seconds`, or the request is NULL; it has said so.
 */
json_t *control_ask(const char *path, const json_t *request, unsigned int seconds);

#define CONTROL_ANSWER_S 5
/* proxyd waits for workers and for clients of listeners that are gone, one after the other. */
#define CONTROL_RELOAD_S 120

#endif
