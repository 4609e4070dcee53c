// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * proxyd exec: a command in a cgroup whose connections a proxy of its own intercepts. Three
 * processes: this one keeps watch, and its privileges; the proxy; the command, which is left alone
 * with the terminal and its signals.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands.h"
#include "config/settings.h"
#include "log.h"
#include "probe/scope.h"
#include "proxy.h"

/* As of env(1). */
enum exec_exit {
	EXEC_EXIT_FAILED = 125,
	EXEC_EXIT_CANNOT = 126,
	EXEC_EXIT_NOT_FOUND = 127,
};

#define CGROUP_VARIABLE "PROXYD_CGROUP"
#define CONTROL_BYTES   64

struct guest {
	struct settings settings;
	struct scope scope;
	const char *cgroup; /* --cgroup */
	char **command;     /* NULL: none */
	char control[CONTROL_BYTES];
	sigset_t before; /* the mask that the command gets */
	pid_t proxy;     /* 0: it has ended */
	pid_t child;     /* the command; 0: not started, or it has ended */
	int status;      /* the command's, as of waitpid(2) */
};

/* What is passed on to the command. */
static const int passed_on[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGTERM,
				SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH};

/* --- Arguments --------------------------------------------------------------------------- */

static void print_help(void)
{
	printf("usage: proxyd exec -c FILE [--cgroup PATH] [OPTION...] -- COMMAND [ARGUMENT...]\n"
	       "       proxyd exec -c FILE --cgroup PATH [OPTION...]\n\n"
	       "Run COMMAND in a cgroup of its own, with a proxy beside it for as long as it runs. "
	       "The file\n"
	       "finds the cgroup's directory in ${" CGROUP_VARIABLE "}, for "
	       "`intercept.cgroup`.\n\n"
	       "  %-20s %s\n"
	       "  %-20s %s\n"
	       "  %-20s %s\n\n"
	       "Other options are those of proxyd run. The control socket is\n"
	       "/run/proxyd/exec-PID.sock. Signals are passed on to COMMAND, and its exit status "
	       "is returned;\n"
	       "125: the proxy could not be started, 126: COMMAND cannot be run, 127: it is not "
	       "found.\n",
	       "-c, --config FILE", "what to intercept, and where it goes", "--cgroup PATH",
	       "run it in this cgroup; without COMMAND: serve who is in it", "--help",
	       "print this");
}

/* Returns whether the argument at `*at` is the option, and takes its value. */
static bool take_value(char **argv, int end, int *at, const char *option, const char **value)
{
	size_t length = strlen(option);

	if (strncmp(argv[*at], option, length) != 0)
		return false;
	if (argv[*at][length] == '=') {
		*value = argv[*at] + length + 1;
		return true;
	}
	if (argv[*at][length] || *at + 1 >= end)
		return false;
	*value = argv[++*at];
	return true;
}

/* What is before "--" and not ours is for `run`. Returns 0, 1 when help was given, -EINVAL. */
static int parse(struct guest *guest, int argc, char **argv)
{
	char **options = calloc((size_t)argc + 3, sizeof(*options));
	int count = 0, end = 0, err;

	if (!options)
		return -ENOMEM;
	while (end < argc && strcmp(argv[end], "--") != 0)
		end++;
	if (end + 1 < argc)
		guest->command = argv + end + 1;
	snprintf(guest->control, sizeof(guest->control), "/run/proxyd/exec-%d.sock", (int)getpid());
	options[count++] = argv[0];
	options[count++] = (char *)"--control";
	options[count++] = guest->control;
	for (int i = 1; i < end; i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
			print_help();
			free(options);
			return 1;
		}
		if (!take_value(argv, end, &i, "--cgroup", &guest->cgroup))
			options[count++] = argv[i];
	}
	err = settings_parse(&guest->settings, count, options);
	free(options);
	if (!err && !guest->command && !guest->cgroup) {
		log_error("a command is missing; write proxyd exec -c FILE -- COMMAND, or name the "
			  "cgroup of one that runs with --cgroup");
		err = -EINVAL;
	}
	return err;
}

/* --- The processes ----------------------------------------------------------------------- */

static int become_proxy(struct guest *guest, pid_t watch, int ready)
{
	/* ^C is for the command; and without the process that keeps watch nobody would end us. */
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != watch)
		return PROXY_EXIT_FAILED;
	sigprocmask(SIG_SETMASK, &guest->before, NULL);
	setenv(CGROUP_VARIABLE, guest->scope.path, 1);
	guest->settings.ready = ready;
	if (!guest->settings.verbose)
		log_set_level(LOG_LEVEL_WARNING);
	return run_proxy(&guest->settings);
}

/* What ends a process, unless whoever started us has it ignored, as nohup(1) does. */
static int open_ends(void)
{
	static const int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	struct sigaction action;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (!sigaction(ends[i], NULL, &action) && action.sa_handler != SIG_IGN)
			sigaddset(&set, ends[i]);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/*
 * Until the proxy is ready, or has failed, or somebody would not wait for it: there is no command
 * yet that what comes now could be passed on to. Returns 0 or -1.
 */
static int await_proxy(struct guest *guest, int ready)
{
	struct pollfd awaited[] = {{.fd = ready, .events = POLLIN},
				   {.fd = open_ends(), .events = POLLIN}};
	struct signalfd_siginfo info;
	bool ended = false;
	char byte;

	while (poll(awaited, 2, -1) < 0 && errno == EINTR)
		;
	if (awaited[1].revents && read(awaited[1].fd, &info, sizeof(info)) == sizeof(info)) {
		guest->status = (int)info.ssi_signo;
		kill(guest->proxy, SIGTERM);
		ended = true;
	}
	if (awaited[1].fd >= 0)
		close(awaited[1].fd);
	return !ended && read(ready, &byte, 1) == 1 ? 0 : -1;
}

/* Returns 0 when the proxy is ready, else -1; it has said why, or guest->status does. */
static int start_proxy(struct guest *guest)
{
	const pid_t watch = getpid();
	int ends[2];

	if (pipe(ends)) {
		log_error("cannot make a pipe: %s", strerror(errno));
		return -1;
	}
	guest->proxy = fork();
	if (!guest->proxy) {
		close(ends[0]);
		_exit(become_proxy(guest, watch, ends[1]));
	}
	close(ends[1]);
	if (guest->proxy < 0 || await_proxy(guest, ends[0])) {
		if (guest->proxy < 0)
			log_error("cannot start a process: %s", strerror(errno));
		else
			waitpid(guest->proxy, NULL, 0);
		guest->proxy = 0;
	}
	close(ends[0]);
	return guest->proxy ? 0 : -1;
}

static void become_command(struct guest *guest)
{
	int err = scope_enter(&guest->scope);

	if (err) {
		log_error("cannot enter the cgroup %s: %s", guest->scope.path, strerror(-err));
		_exit(EXEC_EXIT_FAILED);
	}
	sigprocmask(SIG_SETMASK, &guest->before, NULL);
	execvp(guest->command[0], guest->command);
	err = errno;
	log_error("%s: %s", guest->command[0], strerror(err));
	_exit(err == ENOENT ? EXEC_EXIT_NOT_FOUND : EXEC_EXIT_CANNOT);
}

static int start_command(struct guest *guest)
{
	guest->child = fork();
	if (!guest->child)
		become_command(guest);
	if (guest->child > 0)
		return 0;
	log_error("cannot start a process: %s", strerror(errno));
	guest->child = 0;
	return -1;
}

static void on_proxy_gone(struct guest *guest, int status)
{
	guest->proxy = 0;
	if (guest->child && WIFSIGNALED(status))
		log_error("the proxy was killed (%s); the command goes on without it",
			  strsignal(WTERMSIG(status)));
	else if (guest->child)
		log_error("the proxy has ended with status %d; the command goes on without it",
			  WEXITSTATUS(status));
}

static void reap(struct guest *guest)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == guest->proxy) {
			on_proxy_gone(guest, status);
		} else if (pid == guest->child) {
			guest->child = 0;
			guest->status = status;
		}
	}
}

/*
 * Until the command has ended, then until the proxy has. What the terminal sends, it sends to the
 * command too (SI_KERNEL); the proxy is told to end at once by whatever comes when it drains.
 */
static void keep_watch(struct guest *guest, const sigset_t *set)
{
	bool draining = false;

	while (guest->child || guest->proxy) {
		siginfo_t info;
		int number;

		if (!guest->child && !draining) {
			draining = true;
			kill(guest->proxy, SIGTERM);
		}
		number = sigwaitinfo(set, &info);
		if (number == SIGCHLD)
			reap(guest);
		else if (number > 0 && guest->child && info.si_code != SI_KERNEL)
			kill(guest->child, number);
		else if (number > 0 && draining && guest->proxy && number != SIGWINCH)
			kill(guest->proxy, SIGTERM);
	}
}

/* End as the command did: whoever waits for us is to see the same. */
static int pass_status_on(const struct guest *guest)
{
	const struct rlimit none = {0, 0};
	int number = WTERMSIG(guest->status);
	sigset_t set;

	if (!WIFSIGNALED(guest->status))
		return WEXITSTATUS(guest->status);
	setrlimit(RLIMIT_CORE, &none);
	signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	return 128 + number;
}

static int run_command(struct guest *guest)
{
	bool started;
	sigset_t set;

	signal(SIGCHLD, SIG_DFL); /* whoever ignored it would have us learn of no end */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(passed_on[0]); i++)
		sigaddset(&set, passed_on[i]);
	sigprocmask(SIG_BLOCK, &set, &guest->before);
	if (scope_open(&guest->scope, guest->cgroup))
		return EXEC_EXIT_FAILED;
	started = !start_proxy(guest) && !start_command(guest);
	if (started || guest->proxy)
		keep_watch(guest, &set);
	scope_close(&guest->scope);
	return started || guest->status ? pass_status_on(guest) : EXEC_EXIT_FAILED;
}

int cmd_exec(int argc, char **argv)
{
	struct guest guest = {0};
	int err;

	settings_init(&guest.settings);
	err = parse(&guest, argc, argv);
	if (err)
		return err < 0 ? PROXY_EXIT_USAGE : 0;
	if (guest.settings.verbose)
		log_set_level(LOG_LEVEL_DEBUG);
	if (guest.command)
		return run_command(&guest);
	setenv(CGROUP_VARIABLE, guest.cgroup, 1);
	return run_proxy(&guest.settings);
}
