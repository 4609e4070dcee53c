#pragma once

/*
 * A program that a test talks to: it is told a line and answers with one. It ends with the test,
 * however that ends.
 */

#include <stdio.h>
#include <sys/types.h>

struct program {
	pid_t pid;
	FILE *to;
	FILE *from;
	unsigned int port; /* the first line that it says: "ready PORT" */
};

/* A Python script of tests/unit/. Fails the test if it does not get ready. */
void program_start(struct program *program, const char *script, const char *argument);

/* Say something; the answer, without its end of line, stands until the next one. */
const char *program_ask(struct program *program, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The same, for what is answered with "ok", and with a number. */
void program_tell(struct program *program, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
long program_count(struct program *program, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

void program_end(struct program *program);
