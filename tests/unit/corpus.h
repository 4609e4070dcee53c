#pragma once

/* The files that the fuzzers begin with, one for each construct: here each has its right answer. */

#include <stddef.h>
#include <stdint.h>

struct corpus_file {
	uint8_t *bytes; /* no byte more than the file has: a sanitizer sees who looks beyond */
	size_t size;
};

/* tests/fuzz/corpus/FOLDER/NAME. Fails the test when it is not there. */
struct corpus_file corpus_load(const char *folder, const char *name);

/* The first `size` bytes, likewise. Free both. */
struct corpus_file corpus_prefix(const uint8_t *bytes, size_t size);

/* Fails the test unless the folder has so many files: none is without an answer. */
void corpus_expect_count(const char *folder, size_t count);
