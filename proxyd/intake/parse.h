/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PARSE_H
#define PROXYD_PARSE_H

#include <stdbool.h>

/*
 * What a parser says of the first bytes of a stream. What it has said of a prefix, DONE or BAD, it
 * says of every stream that begins so, however its bytes came in: parsers go from the first byte on
 * and look at none behind the one that decides.
 */
enum parse_result {
	PARSE_MORE, /* they fit so far; the rest is missing */
	PARSE_DONE,
	PARSE_BAD, /* whatever follows, they are not what the parser is for */
};

/*
 * For parsers that keep their result, PARSE_DONE at first, beside what they read, and whose every
 * step does nothing once it is another: then it is looked at in the end alone. The first reason to
 * stop holds.
 */
static inline void parse_stop(enum parse_result *result, enum parse_result why)
{
	if (*result == PARSE_DONE)
		*result = why;
}

static inline void parse_require(enum parse_result *result, bool condition)
{
	if (!condition)
		parse_stop(result, PARSE_BAD);
}

#endif
