/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PINS_H
#define PROXYD_PINS_H

/* Programs of `on_exit: closed`, which the BPF file system keeps when proxyd is gone. */

/*
 * Remove the pins whose paths match a pattern of glob(3); `count` is how many. Returns 0, also
 * where there is none, or -EIO.
 */
int pins_remove(const char *pattern, unsigned int *count);

#endif
