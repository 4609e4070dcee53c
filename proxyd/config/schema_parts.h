/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_SCHEMA_PARTS_H
#define PROXYD_SCHEMA_PARTS_H

/* How the table is written, for the files that hold a part of it. */

#include "config/value.h"
#include "policy/upstream.h"

#define SECOND UINT64_C(1000)
#define HOUR   (60 * 60 * SECOND)
#define KIB    UINT64_C(1024)
#define GIB    (KIB * KIB * KIB)

/* A century, so that the sum of a clock and a time does not overflow. */
#define TIME_MAX      (1000000 * HOUR)

#define COUNT_MAX     1000000000
#define BANDWIDTH_MAX (1024 * GIB)

/* A row: {NAME, HELP, .type or .object, where, and what else there is to say}. */

#define FIELD(of, member) .offset = offsetof(of, member), .width = sizeof(((of *)0)->member)
#define MANY(of, member, number)                                                                   \
	.offset = offsetof(of, member), .count_offset = offsetof(of, number), .many = true

#define KEYS(of)                KEYS_BUT_LAST(of, 0)
#define KEYS_BUT_LAST(of, left) .keys = (of), .key_count = sizeof(of) / sizeof((of)[0]) - (left)

extern const struct schema_object schema_upstream;
extern const struct schema_object schema_direct;
extern const struct schema_object schema_tcp_listener;

#endif
