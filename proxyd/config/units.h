/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_UNITS_H
#define PROXYD_UNITS_H

#include <stdint.h>

/* Each returns 0, or -EINVAL and in *why what is wrong, as part of a sentence. */

/* "65536", "64KiB", "4MiB", "1GiB", "4MB": bytes. */
int units_parse_bytes(const char *text, uint64_t *bytes, const char **why);

/* "250ms", "10s", "5m", "1h", "0": milliseconds. A bare number other than 0 is refused. */
int units_parse_duration(const char *text, uint64_t *milliseconds, const char **why);

#endif
