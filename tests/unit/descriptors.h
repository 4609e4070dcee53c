#pragma once

/* For finding out whether something has left one open. */

#include <criterion/criterion.h>
#include <dirent.h>

/* Those of this process, and a few that are the same each time. */
static inline int open_descriptors(void)
{
	DIR *list = opendir("/proc/self/fd");
	int count = 0;

	cr_assert_not_null(list);
	while (readdir(list))
		count++;
	closedir(list);
	return count;
}
