// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum log_level highest = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	highest = level;
}

/* systemd names the journal's socket by device and inode (systemd.exec(5)). */
static bool to_journal(void)
{
	const char *name = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat stream;

	return name && sscanf(name, "%llu:%llu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &stream) && stream.st_dev == device && stream.st_ino == inode;
}

void log_line(enum log_level level, const char *format, ...)
{
	static const char *const names[] = {
		[LOG_LEVEL_ERROR] = "error: ", [LOG_LEVEL_WARNING] = "warning: ",
		[LOG_LEVEL_NOTICE] = "",       [LOG_LEVEL_INFO] = "",
		[LOG_LEVEL_DEBUG] = "debug: ",
	};
	char line[1024];
	size_t used;
	va_list arguments;

	if (level > highest)
		return;
	if (to_journal())
		used = (size_t)snprintf(line, sizeof(line), "<%d>proxyd: ", (int)level);
	else
		used = (size_t)snprintf(line, sizeof(line), "proxyd: %s", names[level]);
	va_start(arguments, format);
	used += (size_t)vsnprintf(line + used, sizeof(line) - used, format, arguments);
	va_end(arguments);
	if (used > sizeof(line) - 1)
		used = sizeof(line) - 1;
	line[used++] = '\n';
	/* Nothing useful can be done when standard error is gone. */
	if (write(STDERR_FILENO, line, used) < 0)
		return;
}
