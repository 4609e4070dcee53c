// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "config/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define LINE 1024

static const char *const level_names[] = {
	[REPORT_ERROR] = "error",
	[REPORT_WARNING] = "warning",
	[REPORT_NOTICE] = "notice",
};

int report_set_file(struct config_report *report, const char *file)
{
	report->file = strdup(file);
	return report->file ? 0 : -ENOMEM;
}

static struct report_message *new_message(struct config_report *report)
{
	struct report_message *grown;

	if (report->count == REPORT_MAX)
		return NULL;
	grown = realloc(report->messages, (report->count + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	report->messages = grown;
	return &grown[report->count];
}

void report_add(struct config_report *report, enum report_level level, unsigned int line,
		unsigned int column, const char *key, const char *format, va_list arguments)
{
	struct report_message *message = new_message(report);
	char what[LINE], *text = NULL;

	if (level == REPORT_ERROR)
		report->errors++;
	vsnprintf(what, sizeof(what), format, arguments);
	if (!message || asprintf(&text, "%s%s%s", key, *key ? ": " : "", what) < 0) {
		report->left_out++;
		return;
	}
	*message = (struct report_message){level, line, column, text};
	report->count++;
}

/* Messages of one place stay in their order. */
static bool follows(const struct report_message *one, const struct report_message *other)
{
	if (one->line != other->line)
		return one->line > other->line;
	return one->column > other->column;
}

void report_sort(struct config_report *report)
{
	for (unsigned int i = 1; i < report->count; i++) {
		struct report_message message = report->messages[i];
		unsigned int j = i;

		for (; j && follows(&report->messages[j - 1], &message); j--)
			report->messages[j] = report->messages[j - 1];
		report->messages[j] = message;
	}
}

void report_format(const struct config_report *report, const struct report_message *message,
		   char *text, size_t size)
{
	char place[32] = "";

	if (message->line)
		snprintf(place, sizeof(place), ":%u:%u", message->line, message->column);
	snprintf(text, size, "%s%s%s%s%s%s", report->file ? report->file : "", place,
		 report->file ? ": " : "",
		 message->level == REPORT_ERROR ? "" : level_names[message->level],
		 message->level == REPORT_ERROR ? "" : ": ", message->text);
}

void report_print(const struct config_report *report, FILE *stream)
{
	char line[LINE];

	for (unsigned int i = 0; i < report->count; i++) {
		report_format(report, &report->messages[i], line, sizeof(line));
		fprintf(stream, "%s\n", line);
	}
	if (report->left_out)
		fprintf(stream, "%s: %u more\n", report->file ? report->file : "options",
			report->left_out);
}

void report_log(const struct config_report *report)
{
	static const enum log_level levels[] = {
		[REPORT_ERROR] = LOG_LEVEL_ERROR,
		[REPORT_WARNING] = LOG_LEVEL_WARNING,
		[REPORT_NOTICE] = LOG_LEVEL_NOTICE,
	};
	char place[32], line[LINE];

	for (unsigned int i = 0; i < report->count; i++) {
		const struct report_message *message = &report->messages[i];

		place[0] = '\0';
		if (message->line)
			snprintf(place, sizeof(place), ":%u:%u", message->line, message->column);
		snprintf(line, sizeof(line), "%s%s%s%s", report->file ? report->file : "", place,
			 report->file ? ": " : "", message->text);
		log_line(levels[message->level], "%s", line);
	}
	if (report->left_out)
		log_error("%s: %u more", report->file ? report->file : "options", report->left_out);
}

json_t *report_json(const struct config_report *report)
{
	json_t *list = json_array();

	for (unsigned int i = 0; list && i < report->count; i++) {
		const struct report_message *message = &report->messages[i];
		json_t *item = json_pack("{s:s, s:i, s:i, s:s}", "level",
					 level_names[message->level], "line", (int)message->line,
					 "column", (int)message->column, "message", message->text);

		/* A text that is not UTF-8: the name of a file can be that. */
		if (item)
			json_array_append_new(list, item);
	}
	return list;
}

void report_clear(struct config_report *report)
{
	for (unsigned int i = 0; i < report->count; i++)
		free(report->messages[i].text);
	free(report->messages);
	free(report->file);
	*report = (struct config_report){0};
}
