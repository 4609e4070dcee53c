#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Standard error or output, kept instead of printed: capture_start(), the call, capture_end(). */
struct capture {
	int fd;
	int saved;
	FILE *file;
	char text[8192];
};

static inline void capture_start(struct capture *capture, FILE *stream)
{
	fflush(stream);
	capture->fd = fileno(stream);
	capture->file = tmpfile();
	capture->saved = dup(capture->fd);
	if (!capture->file || capture->saved < 0 || dup2(fileno(capture->file), capture->fd) < 0) {
		perror("capture");
		abort();
	}
}

/* Returns what was printed. */
static inline const char *capture_end(struct capture *capture, FILE *stream)
{
	size_t size;

	fflush(stream);
	dup2(capture->saved, capture->fd);
	close(capture->saved);
	rewind(capture->file);
	size = fread(capture->text, 1, sizeof(capture->text) - 1, capture->file);
	capture->text[size] = '\0';
	fclose(capture->file);
	return capture->text;
}
