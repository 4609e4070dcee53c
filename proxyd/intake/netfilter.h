/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_NETFILTER_H
#define PROXYD_NETFILTER_H

/* A listener's table in the kernel, by way of libnftables. Not for two threads at once. */

#include "intake/ruleset.h"

struct netfilter;

/* Returns 0 or -ENOMEM. */
int netfilter_new(struct netfilter **out);

/*
 * Put the listener's table in place of the one that there is, at once. Returns 0, or -errno when
 * it has said what went wrong; what held before still does.
 */
int netfilter_put(struct netfilter *netfilter, const struct config_listener *listener,
		  const struct ruleset_form *form);

/* Take the table away, if it was put. */
void netfilter_remove(struct netfilter *netfilter);

/* A table that is owned goes with it. NULL is fine. */
void netfilter_free(struct netfilter *netfilter);

/*
 * Whether the kernel would take the listener's table; nothing is changed. Returns 0, or -errno and
 * in `why` what it says.
 */
int netfilter_try(const struct config_listener *listener, char *why, size_t size);

/*
 * Remove all tables of proxyd that nobody owns, and count them. Returns 0, or -errno when it has
 * said what went wrong.
 */
int netfilter_clear(unsigned int *count);

#endif
