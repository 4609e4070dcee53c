// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/pins.h"

#include <errno.h>
#include <glob.h>
#include <unistd.h>

int pins_remove(const char *pattern, unsigned int *count)
{
	glob_t pins;
	int err = glob(pattern, 0, NULL, &pins);

	*count = 0;
	if (err)
		return err == GLOB_NOMATCH ? 0 : -EIO;
	for (size_t i = 0; i < pins.gl_pathc; i++)
		*count += !unlink(pins.gl_pathv[i]);
	globfree(&pins);
	return 0;
}
