// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define WORD_MAX 48 /* longer ones are not compared */

static char plain(char c)
{
	if (c == '-')
		return '_';
	return (char)tolower((unsigned char)c);
}

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* Three rows of the usual table: only neighbours are swapped. */
static unsigned int distance(const char *one, size_t length, const char *other, size_t other_length)
{
	unsigned int rows[3][WORD_MAX + 1];
	unsigned int *before = rows[0], *above = rows[1], *row = rows[2], *spare;

	for (unsigned int j = 0; j <= other_length; j++)
		above[j] = j;
	for (size_t i = 1; i <= length; i++) {
		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= other_length; j++) {
			char a = plain(one[i - 1]), b = plain(other[j - 1]);

			row[j] = least(above[j - 1] + (a != b), least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a == plain(other[j - 2]) && b == plain(one[i - 2]))
				row[j] = least(row[j], before[j - 2] + 1);
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[other_length];
}

const char *suggest(const char *word, const char *const *names, size_t count)
{
	size_t length = strlen(word);
	const char *nearest = NULL;
	unsigned int best = (unsigned int)(length < 3 ? 1 : (length + 1) / 3);

	if (length > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		size_t name_length = strlen(names[i]);
		unsigned int far;

		if (name_length > WORD_MAX)
			continue;
		far = distance(word, length, names[i], name_length);
		/* Nothing of a word of one or two letters must be replaced altogether. */
		if (far >= name_length || far >= length || far > best || (nearest && far == best))
			continue;
		best = far;
		nearest = names[i];
	}
	return nearest;
}

size_t utf8_length(const unsigned char *text, size_t size)
{
	static const unsigned char least_of[] = {0, 0, 0x80, 0xa0, 0x90};
	size_t length = text[0] < 0x80   ? 1
			: text[0] < 0xc2 ? 0
			: text[0] < 0xe0 ? 2
			: text[0] < 0xf0 ? 3
			: text[0] < 0xf5 ? 4
					 : 0;

	if (!length || length > size)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* No longer form than needed, no surrogates, nothing beyond U+10FFFF. */
	if ((text[0] == 0xe0 || text[0] == 0xf0) && text[1] < least_of[length])
		return 0;
	if ((text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

const char *excerpt(const char *text, char out[EXCERPT])
{
	static const char cut[] = "...";
	size_t left = strlen(text), used = 0;

	while (left) {
		size_t length = utf8_length((const unsigned char *)text, left);

		if (used + (length ? length : 1) + sizeof(cut) > EXCERPT) {
			strcpy(out + used, cut);
			return out;
		}
		if (!length || iscntrl((unsigned char)*text)) {
			out[used++] = '?';
			length = 1;
		} else {
			memcpy(out + used, text, length);
			used += length;
		}
		text += length;
		left -= length;
	}
	out[used] = '\0';
	return out;
}
