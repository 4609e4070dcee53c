// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/news.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX 512

void news_add(struct news *news, enum log_level level, const char *format, ...)
{
	struct news_line *line;
	char text[LINE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	line = malloc(sizeof(*line) + strlen(text) + 1);
	if (!line)
		return;
	line->level = level;
	strcpy(line->text, text);
	STAILQ_INSERT_TAIL(news, line, next);
}

void news_publish(struct news *news)
{
	struct news_line *line;

	while ((line = STAILQ_FIRST(news))) {
		STAILQ_REMOVE_HEAD(news, next);
		log_line(line->level, "%s", line->text);
		free(line);
	}
}
