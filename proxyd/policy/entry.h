/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ENTRY_H
#define PROXYD_ENTRY_H

/* An upstream's `endpoints` as the config has them, with what their names stand for now. */

#include "policy/upstream.h"

enum command_kind {
	COMMAND_DRAIN,
	COMMAND_WEIGHT,
	COMMAND_KINDS
};

/* The last command of a kind. */
struct command {
	uint64_t nth;   /* which of the upstream's commands it was; 0: none was given */
	uint32_t value; /* whether to drain; the weight */
};

/* An address is a name that was resolved at once, to itself. */
struct entry {
	enum endpoint_kind kind;
	char *text;
	uint32_t weight;
	bool backup;
	uint64_t max_flows;
	struct resolved *addresses;
	unsigned int count;
	bool resolved; /* `addresses` is an answer, be it an empty one */
	/* Commands that named the entry hold for addresses that come later, too. */
	struct command commands[COMMAND_KINDS];
};

struct entries {
	struct entry *items;
	unsigned int count;
};

/*
 * Copy the config's entries. What `before` knows of the same entry, by kind and text, is carried
 * over: its addresses and what commands have set; a weight that was set goes when the config's has
 * changed. Returns 0 or -ENOMEM.
 */
int entries_new(const struct config_upstream *config, const struct entries *before,
		struct entries *out);
void entries_free(struct entries *entries);

/* Replace the addresses of an entry by a copy of these. Returns 0 or -ENOMEM. */
int entry_resolve(struct entry *entry, const struct resolved *addresses, unsigned int count);

#endif
