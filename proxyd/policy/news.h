/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_NEWS_H
#define PROXYD_NEWS_H

/*
 * Log lines about what changed under a lock, kept until the lock is released: standard error may be
 * a pipe that nobody empties.
 */

#include <sys/queue.h>

#include "log.h"

struct news_line {
	STAILQ_ENTRY(news_line) next;
	enum log_level level;
	char text[];
};

STAILQ_HEAD(news, news_line);

/* Keep a line. Out of memory it is lost. */
void news_add(struct news *news, enum log_level level, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Log the lines, oldest first, and free them. */
void news_publish(struct news *news);

#endif
