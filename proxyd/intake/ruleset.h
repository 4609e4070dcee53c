/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_RULESET_H
#define PROXYD_RULESET_H

/* The netfilter rules that bring connections to a listener, in the words of nft(8). */

#include <stdio.h>

#include "config/config.h"

#define RULESET_PREFIX "proxyd_"

/* Where the programs of `on_exit: closed` are pinned, by that name. */
#define RULESET_PINS "/sys/fs/bpf/"

/* The longest name of a listener, a port, and the end. */
#define RULESET_NAME 80

struct ruleset_form {
	bool owned;    /* the table goes with the socket that it came by (nft_table owner, 5.12) */
	bool draining; /* nothing new is taken; what was taken goes on */
};

/* What the listener's table is called: by its port and name. Its port is known. Returns `name`. */
const char *ruleset_name(const struct config_listener *listener, char name[RULESET_NAME]);

/*
 * Write the listener's table, whole. Returns 0, or -errno when it has said what is wrong with
 * `intercept.cgroup`.
 */
int ruleset_write(FILE *out, const struct config_listener *listener,
		  const struct ruleset_form *form);

#endif
