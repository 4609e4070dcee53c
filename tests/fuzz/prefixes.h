#pragma once

/* The prefixes of an input that a target looks at: about a dozen, others for every input. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void require(int condition)
{
	if (!condition)
		abort();
}

/*
 * The length of the prefix that follows one of `length` bytes; the last but one is the whole input,
 * the last is longer. What comes next depends on the bytes, so that an input that breaks a parser
 * breaks it again.
 */
static inline size_t prefix_after(size_t length, const uint8_t *bytes, size_t size)
{
	uint32_t hash = (uint32_t)size;
	size_t next;

	if (length == size)
		return size + 1;
	for (size_t i = length; i < size && i < length + 32; i++)
		hash = (hash ^ bytes[i]) * 16777619; /* FNV-1a */
	next = length + 1 + (hash >> 8) % (1 + size / 6);
	return next < size ? next : size;
}

/* A copy with no byte behind it: AddressSanitizer sees who looks there. To be freed. */
static inline uint8_t *prefix_copy(const uint8_t *bytes, size_t length)
{
	uint8_t *copy = malloc(length);

	require(copy || !length);
	if (length)
		memcpy(copy, bytes, length);
	return copy;
}
