/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CHECK_H
#define PROXYD_CHECK_H

/* Whether what a config says makes sense as a whole. */

#include "config/config.h"
#include "config/document.h"
#include "config/report.h"

struct check {
	const struct config *config;
	struct config_report *report;
	struct document *document; /* where it stands; NULL: it comes from options */
};

/*
 * Fill in what follows from the rest: names that were not given, and a burst. Returns 0 or -ENOMEM.
 */
int config_complete(struct config *config);

/* Names and addresses that occur twice, listeners that routes name in vain. Any config. */
void check_names(struct check *check);

/* What follows from the whole, of a config without errors. */
void check_sense(struct check *check);

/* The part of it that is about routes. */
void check_routes(struct check *check);

/* Say something about the key of this path. */
void check_say(struct check *check, enum report_level level, const char *path, const char *format,
	       ...) __attribute__((format(printf, 4, 5)));

#define CHECK_PATH 128

/* Format a path. Returns `text`. */
const char *check_path(char text[CHECK_PATH], const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* What listeners intercept: what follows from it, and whether it makes sense. */
void complete_intercepts(struct config *config);
void check_intercept(struct check *check, unsigned int listener);

#endif
