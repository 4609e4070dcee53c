// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/suggest.h"

int source_fail(struct config_report *report, unsigned int line, unsigned int column,
		const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	report_add(report, REPORT_ERROR, line, column, "", format, arguments);
	va_end(arguments);
	return -EINVAL;
}

/* Up to `room` bytes. Returns their number or -errno. */
static ssize_t read_all(int fd, char *text, size_t room)
{
	size_t used = 0;

	while (used < room) {
		ssize_t got = read(fd, text + used, room - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got)
			break;
		used += (size_t)got;
	}
	return (ssize_t)used;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct stat status;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) || !S_ISDIR(status.st_mode))
		return fd;
	close(fd);
	return -EISDIR;
}

static int cannot_read(struct config_report *report, int err)
{
	source_fail(report, 0, 0, "cannot read it: %s%s", strerror(-err),
		    err == -EISDIR ? "; name a file in it" : "");
	return err;
}

int source_read(const char *path, char **out, size_t *size, struct config_report *report)
{
	int fd = open_file(path);
	char *text;
	ssize_t got;

	if (fd < 0)
		return cannot_read(report, fd);
	text = malloc(SOURCE_MAX + 1);
	if (!text) {
		close(fd);
		return -ENOMEM;
	}
	got = read_all(fd, text, SOURCE_MAX + 1);
	close(fd);
	if (got < 0 || got > SOURCE_MAX) {
		free(text);
		return got < 0 ? cannot_read(report, (int)got)
			       : source_fail(report, 0, 0, "it is larger than 1 MiB");
	}
	text[got] = '\0';
	*out = text;
	*size = (size_t)got;
	return 0;
}

static uint32_t decode(const unsigned char *text, size_t length)
{
	uint32_t point = length == 1 ? text[0] : text[0] & (0x7fU >> length);

	for (size_t i = 1; i < length; i++)
		point = point << 6 | (text[i] & 0x3f);
	return point;
}

static bool is_printable(uint32_t point)
{
	if (point < 0x20)
		return point == '\t' || point == '\n' || point == '\r';
	return point != 0x7f && (point < 0x80 || point == 0x85 || point >= 0xa0) &&
	       point != 0xfeff && point != 0xfffe && point != 0xffff;
}

static int bad_byte(const unsigned char *text, size_t at, size_t size, unsigned int line,
		    unsigned int column, struct config_report *report)
{
	if (!utf8_length(text + at, size - at)) {
		bool utf16 = size > 1 && ((text[0] == 0xff && text[1] == 0xfe) ||
					  (text[0] == 0xfe && text[1] == 0xff));

		return source_fail(report, line, column,
				   "it is not UTF-8 (byte 0x%02x); save it as %s", text[at],
				   utf16 ? "UTF-8 instead of UTF-16" : "UTF-8");
	}
	return source_fail(
		report, line, column,
		"it holds a control character (byte 0x%02x); remove it, or write it as an "
		"escape in double quotes",
		text[at]);
}

int source_check(const char *text, size_t size, struct config_report *report)
{
	static const char mark[] = "\xef\xbb\xbf";
	const unsigned char *bytes = (const unsigned char *)text;
	unsigned int line = 1, column = 1;
	size_t at = size >= 3 && !memcmp(text, mark, 3) ? 3 : 0, length;

	for (; at < size; at += length) {
		length = utf8_length(bytes + at, size - at);
		if (!length || !is_printable(decode(bytes + at, length)))
			return bad_byte(bytes, at, size, line, column, report);
		column++;
		if (bytes[at] == '\n') {
			line++;
			column = 1;
		}
	}
	return 0;
}

char source_at(const char *text, size_t size, size_t line, size_t column)
{
	const char *end = text + size;

	for (; line && text < end; text++)
		if (*text == '\n')
			line--;
	for (; column && text < end && *text != '\n'; column--) {
		size_t length = utf8_length((const unsigned char *)text, (size_t)(end - text));

		text += length ? length : 1;
	}
	if (line || column || text >= end)
		return '\0';
	return *text;
}
