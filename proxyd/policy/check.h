/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CHECK_H
#define PROXYD_CHECK_H

/*
 * One look at a server: connect, say something, judge what comes back. The three kinds of check
 * are one exchange; they differ in the words and in the judge. (libevent's HTTP client would be a
 * fourth thing: it opens its sockets by itself, so it can neither mark nor bind them, nor begin
 * with a PROXY header. Of HTTP a check needs the status line alone.)
 */

#include <event2/event.h>
#include <stdbool.h>

#include "config/config.h"

struct check;

/* What the checks of an upstream have in common; counted, since a check may outlive a reload. */
struct check_plan;

#define CHECK_REASON 64

struct check_result {
	bool passed;
	/*
	 * No verdict: proxyd itself could not look (no descriptor, port or memory left, an option
	 * that it may not set). That says nothing of the server.
	 */
	bool unable;
	char reason[CHECK_REASON]; /* "connect refused", "timeout", "HTTP 503"; never empty */
};

/* Copies what it needs of both. Returns 0 or -ENOMEM. */
int check_plan_new(const struct config_health *health, const struct config_tcp *tcp,
		   struct check_plan **out);
struct check_plan *check_plan_ref(struct check_plan *plan);
void check_plan_unref(struct check_plan *plan); /* NULL is fine */

/* What it was made of. */
const struct config_health *check_plan_health(const struct check_plan *plan);

/*
 * Called once, from the event base and never from within check_new(). The check is to be freed then
 * or later; it holds its descriptor until that.
 */
typedef void check_done_fn(void *user, const struct check_result *result);

/*
 * Begin a check of `address` (with the plan's port, where that has one). Takes a reference to the
 * plan. Returns 0 or -ENOMEM; whatever else goes wrong is the result.
 */
int check_new(struct event_base *base, struct check_plan *plan, const struct address *address,
	      check_done_fn *done, void *user, struct check **out);

/* Also while it is under way: it is broken off, without a result. */
void check_free(struct check *check);

#endif
