/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_LOAD_H
#define PROXYD_LOAD_H

#include <stddef.h>

#include "config/config.h"
#include "config/report.h"

/*
 * Load a configuration file. The report starts empty and is to be cleared in any case: it has every
 * error that was found, and warnings and notices also of a file that is fine. Nothing is resolved,
 * opened or changed. Returns 0; -EINVAL when the file is wrong; -errno when it cannot be read; or
 * -ENOMEM. The reason of -ENOMEM may be missing in the report.
 */
int config_load(const char *path, struct config **out, struct config_report *report);

/* The same of a file's content; `path` is what messages call it. */
int config_load_text(const char *path, const char *text, size_t size, struct config **out,
		     struct config_report *report);

#endif
