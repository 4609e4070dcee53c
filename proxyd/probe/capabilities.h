/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CAPABILITIES_H
#define PROXYD_CAPABILITIES_H

#include <stdbool.h>
#include <stddef.h>

/* A capability that the kernel lane needs, and what for. */
struct needed_capability {
	int number; /* CAP_* */
	const char *name;
	const char *purpose;
};

extern const struct needed_capability capabilities_needed[];
extern const size_t capabilities_needed_count;

bool capability_held(int number);

/* Write those that are missing, each with its purpose, as a list. Returns how many are. */
size_t capabilities_missing(char *names, size_t size);

/*
 * Give up every capability but those that a running proxyd goes on using, and the means to get
 * any back. Returns 0 or -errno.
 */
int capabilities_drop(void);

#endif
