// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "unit/corpus.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct corpus_file corpus_prefix(const uint8_t *bytes, size_t size)
{
	struct corpus_file file = {.bytes = malloc(size), .size = size};

	cr_assert(file.bytes || !size);
	if (size)
		memcpy(file.bytes, bytes, size);
	return file;
}

struct corpus_file corpus_load(const char *folder, const char *name)
{
	uint8_t buffer[65536];
	char path[512];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), CORPUS "/%s/%s", folder, name);
	file = fopen(path, "re");
	cr_assert(file, "%s is not there", path);
	size = fread(buffer, 1, sizeof(buffer), file);
	fclose(file);
	return corpus_prefix(buffer, size);
}

void corpus_expect_count(const char *folder, size_t count)
{
	char path[512];
	const struct dirent *entry;
	size_t found = 0;
	DIR *files;

	snprintf(path, sizeof(path), CORPUS "/%s", folder);
	files = opendir(path);
	cr_assert(files, "%s is not there", path);
	while ((entry = readdir(files)))
		found += entry->d_name[0] != '.';
	closedir(files);
	cr_expect_eq(found, count, "%s: %zu files, %zu answers", path, found, count);
}
