/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PINNED_H
#define PROXYD_PINNED_H

/*
 * The directories of a BPF file system in which the maps of direct lanes are pinned. Whoever is at
 * work on a lane has a lock on its directory.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "direct/settings.h"

#define PINNED_MAPS 4
#define PINNED_PATH 512
extern const char *const pinned_maps[PINNED_MAPS];

/* Whose a lane is. */
struct pinned {
	bool through;    /* proxyd's own flows, or a cgroup */
	uint64_t number; /* settings->through, or the cgroup's ID */
};

/*
 * Open the directory of a lane in `pin` (NULL: the default), make it in mode DIRECT_RUN, and lock
 * it but in DIRECT_STATUS; `path` becomes its path. Returns a descriptor or -errno: -ENOENT if
 * there is none, for anything else it has said what is wrong.
 */
int pinned_open(const char *pin, const struct pinned *which, enum direct_mode mode,
		char path[PINNED_PATH]);

/* Remove the directory and what is pinned there: when nobody is in the socket map any more. */
void pinned_remove(int directory, const char *path);

/*
 * Go through the lanes on which nobody is at work. Those with nobody in the socket map are removed;
 * with any other but `own` (NULL is fine) `found` is called, for a map that goes away drops what
 * its sockets have not read. Returns 0, or -EINVAL when it has said that `pin` will not do.
 */
int pinned_sweep(const char *pin, const struct pinned *own,
		 void (*found)(const struct pinned *which, const char *path, void *user),
		 void *user);

#endif
