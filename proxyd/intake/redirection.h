/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_REDIRECTION_H
#define PROXYD_REDIRECTION_H

/*
 * Brings connections to a listener by rules of netfilter. With `on_exit: open` they end with the
 * process, however that ends; with `closed` they stay, and what they take is refused.
 */

#include "config/config.h"

struct redirection;

/* For a listener whose mode it is; nothing is redirected yet. Returns 0 or -errno. */
int redirection_new(const struct config_listener *listener, struct redirection **out);

/*
 * Go by the listener's rules from now on, all of them at once; its port is known. Returns 0, or
 * -errno when it has said what went wrong; what held before still does.
 */
int redirection_follow(struct redirection *redirection, const struct config_listener *listener);

/*
 * Take no more; what was taken goes on until it is freed. With `closed`, new connections are then
 * still refused, unless the listener goes `for_good`.
 */
void redirection_end(struct redirection *redirection, const struct config_listener *listener,
		     bool for_good);

/* Whether clients have still to acknowledge what its connections were closed with. */
bool redirection_has_tail(const struct redirection *redirection);

/* At the end of proxyd it waits for them. */
void redirection_free(struct redirection *redirection); /* NULL is fine */

#endif
