/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PINS_H
#define PROXYD_PINS_H

/*
 * Programs of `on_exit: closed`, which the BPF file system keeps when proxyd is gone. Network
 * namespaces may have that file system in common, so each has names of its own.
 */

#include <stddef.h>

struct bpf_link;

#define PIN_SIZE 200

/*
 * The path of a pin of this network namespace, or a pattern of fnmatch(3) for several. Returns 0 or
 * -errno.
 */
int pins_path(char path[PIN_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Pin a link again whose pin is gone, as a reload leaves it that put another in its place and was
 * refused then. Returns 0, also for an empty path, or -errno.
 */
int pins_restore(const char *path, const struct bpf_link *link);

/*
 * Remove the pins that match a pattern, and those of whoever's programs that have lost what they
 * were attached to; `count` is how many. Returns 0, also where there is none, or -EIO.
 */
int pins_remove(const char *pattern, unsigned int *count);

/* All that are this network namespace's. The same. */
int pins_clear(unsigned int *count);

#endif
