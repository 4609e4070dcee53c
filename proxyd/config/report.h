/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_REPORT_H
#define PROXYD_REPORT_H

/* What is to be said about a configuration. */

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

enum report_level {
	REPORT_ERROR,
	REPORT_WARNING, /* loads, but is hardly meant */
	REPORT_NOTICE,  /* loads, and something follows that should be known */
};

#define REPORT_MAX 100 /* more than these are only counted */

struct report_message {
	enum report_level level;
	unsigned int line, column; /* from 1; 0: of no place in particular */
	char *text;                /* "KEY: what is wrong; what to do" */
};

/* Zeros are an empty report. */
struct config_report {
	char *file; /* NULL: the options of `proxyd run` */
	struct report_message *messages;
	unsigned int count;
	unsigned int errors;   /* all of them */
	unsigned int left_out; /* messages beyond REPORT_MAX, or without memory for them */
};

/* Returns 0 or -ENOMEM. */
int report_set_file(struct config_report *report, const char *file);

/* `key` may be empty. */
void report_add(struct config_report *report, enum report_level level, unsigned int line,
		unsigned int column, const char *key, const char *format, va_list arguments);

/* By place in the file. */
void report_sort(struct config_report *report);

/* One line of it: "FILE:LINE:COLUMN: KEY: what is wrong; what to do", without a newline. */
void report_format(const struct config_report *report, const struct report_message *message,
		   char *text, size_t size);

/* A line each, to a stream, or to proxyd's log. */
void report_print(const struct config_report *report, FILE *stream);
void report_log(const struct config_report *report);

/* A list of {level, line, column, message}. NULL: out of memory. */
json_t *report_json(const struct config_report *report);

/* Frees what it holds and leaves an empty report. */
void report_clear(struct config_report *report);

#endif
