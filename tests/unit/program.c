// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "program.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void become(const char *script, const char *argument, const int *in, const int *out)
{
	char path[512];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(in[0], STDIN_FILENO);
	dup2(out[1], STDOUT_FILENO);
	snprintf(path, sizeof(path), SCRIPTS "/%s", script);
	execlp("python3", "python3", path, argument, (char *)NULL);
	perror("python3");
	_exit(127);
}

void program_start(struct program *program, const char *script, const char *argument)
{
	char line[64] = "";
	int in[2], out[2];

	cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	program->pid = fork();
	if (!program->pid)
		become(script, argument, in, out);
	close(in[0]);
	close(out[1]);
	program->to = fdopen(in[1], "w");
	program->from = fdopen(out[0], "r");
	cr_assert(fgets(line, sizeof(line), program->from) &&
			  sscanf(line, "ready %u", &program->port) == 1,
		  "%s does not start", script);
}

static const char *ask(struct program *program, const char *format, va_list arguments)
{
	static char answer[4096];
	size_t length;

	vfprintf(program->to, format, arguments);
	fputc('\n', program->to);
	fflush(program->to);
	cr_assert_not_null(fgets(answer, sizeof(answer), program->from), "%s: no answer", format);
	length = strlen(answer);
	if (length && answer[length - 1] == '\n')
		answer[length - 1] = '\0';
	return answer;
}

const char *program_ask(struct program *program, const char *format, ...)
{
	va_list arguments;
	const char *answer;

	va_start(arguments, format);
	answer = ask(program, format, arguments);
	va_end(arguments);
	return answer;
}

void program_tell(struct program *program, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	cr_assert_str_eq(ask(program, format, arguments), "ok", "%s", format);
	va_end(arguments);
}

long program_count(struct program *program, const char *format, ...)
{
	va_list arguments;
	long count;

	va_start(arguments, format);
	count = strtol(ask(program, format, arguments), NULL, 10);
	va_end(arguments);
	return count;
}

void program_end(struct program *program)
{
	fclose(program->to);
	kill(program->pid, SIGKILL);
	waitpid(program->pid, NULL, 0);
	fclose(program->from);
}
