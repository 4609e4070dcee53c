/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_SUGGEST_H
#define PROXYD_SUGGEST_H

#include <stddef.h>

/*
 * The one of the names that was probably meant by a word: the nearest by insertions, deletions,
 * replacements and swaps of neighbours (optimal string alignment), if it is near enough. Letter
 * case, and '-' for '_', count nothing. NULL: none is near.
 */
const char *suggest(const char *word, const char *const *names, size_t count);

#define EXCERPT 64

/* The text for a message: cut to a bearable length, control characters and bad UTF-8 as '?'. */
const char *excerpt(const char *text, char out[EXCERPT]);

/* The length of the UTF-8 sequence (RFC 3629) that text starts with; 0: it is none. */
size_t utf8_length(const unsigned char *text, size_t size);

#endif
