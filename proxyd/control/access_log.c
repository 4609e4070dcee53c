// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "control/access_log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

/* Flows whose line waits to be written: a power of two. */
#define QUEUE 4096

/* Lines are gathered for so long, so that the writer does not wake up for each. */
#define GATHER_MS   5

#define BUFFER      (64 * 1024)
#define PATIENCE_MS 1000 /* at the end */

struct access_log {
	atomic_bool on;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t more;
	struct access_entry *queue; /* NULL: it was never on */
	unsigned int first, count;
	struct access_target next; /* to go on with, if `changed` */
	bool changed;
	bool stopping;
	bool failed_only;

	_Atomic uint64_t written, dropped, failed; /* lines */
	bool started;
	pthread_t thread;
	int wake; /* eventfd: something has changed */

	/* The writer's: */
	struct access_target target;
	uint64_t give_up_ms; /* clock_ms(); 0: not stopping yet */
	bool torn;           /* it ends within a line */
	bool broken;         /* the last write has failed, and it was said */
	size_t used;
	char buffer[BUFFER];
};

/* --- Targets ----------------------------------------------------------------------------- */

/* 0640 whatever the umask is: it is for those who read logs. */
static int open_path(const char *path)
{
	const int flags = O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	int fd = open(path, flags | O_CREAT | O_EXCL, 0640);

	if (fd < 0)
		return errno == EEXIST ? open(path, flags) : -1;
	fchmod(fd, 0640);
	return fd;
}

static int open_target(const char *to)
{
	if (!strcmp(to, "stderr"))
		return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (!strcmp(to, "stdout"))
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	return open_path(to);
}

int access_target_open(const struct config_access_log *config, struct access_target *out)
{
	struct stat facts = {.st_mode = 0};
	int err = 0;

	*out = (struct access_target){.fd = -1, .failed_only = config->flows == ACCESS_FAILED};
	if (!config->to)
		return 0;
	out->name = strdup(config->to);
	if (!out->name)
		return -ENOMEM;
	out->fd = open_target(config->to);
	if (out->fd < 0 || fstat(out->fd, &facts))
		err = -errno;
	out->is_file = S_ISREG(facts.st_mode);
	if (!err)
		return 0;
	log_error("access_log %s: %s%s", config->to, strerror(-err),
		  err == -ENXIO ? " (nobody reads that FIFO, or it is a socket)" : "");
	access_target_close(out);
	return err;
}

void access_target_close(struct access_target *target)
{
	if (target->fd >= 0)
		close(target->fd);
	free(target->name);
	*target = (struct access_target){.fd = -1};
}

/* --- The writer -------------------------------------------------------------------------- */

static unsigned int lines_of(const char *bytes, size_t size)
{
	unsigned int lines = 0;

	for (size_t i = 0; i < size; i++)
		lines += bytes[i] == '\n';
	return lines;
}

static void lose(struct access_log *log, const char *bytes, size_t size, int err)
{
	if (!log->broken)
		log_warning("access_log %s: %s; lines are lost, proxyd status counts them",
			    log->target.name ? log->target.name : "", strerror(err));
	log->broken = true;
	log->failed += lines_of(bytes, size);
}

static bool is_stopping(struct access_log *log)
{
	bool stopping;

	pthread_mutex_lock(&log->lock);
	stopping = log->stopping;
	pthread_mutex_unlock(&log->lock);
	return stopping;
}

/*
 * Returns 0 when something may be written, -EAGAIN when the writer was woken up for another reason,
 * and, at the end, -ETIMEDOUT when the target has had its time.
 */
static int await_room(struct access_log *log)
{
	struct pollfd ready[] = {{.fd = log->target.fd, .events = POLLOUT},
				 {.fd = log->wake, .events = POLLIN}};
	uint64_t now_ms = clock_ms();

	if (!is_stopping(log))
		return poll(ready, 2, -1) > 0 && ready[0].revents ? 0 : -EAGAIN;
	if (!log->give_up_ms)
		log->give_up_ms = now_ms + PATIENCE_MS;
	if (now_ms >= log->give_up_ms)
		return -ETIMEDOUT;
	return poll(ready, 1, (int)(log->give_up_ms - now_ms)) > 0 ? 0 : -EAGAIN;
}

/* Go on with another target; with none only where nothing is left to be written. */
static void adopt(struct access_log *log, bool nothing_left)
{
	eventfd_t count;

	eventfd_read(log->wake, &count);
	pthread_mutex_lock(&log->lock);
	if (log->changed && (nothing_left || log->next.fd >= 0)) {
		access_target_close(&log->target);
		log->target = log->next;
		log->next = (struct access_target){.fd = -1};
		log->changed = false;
		log->torn = false;
		log->broken = false;
	}
	pthread_mutex_unlock(&log->lock);
}

/*
 * What may be written at once. To a pipe, or whatever else is no file, not more than is sure to fit
 * once poll() has said that something does, for it may be somebody else's descriptor, without
 * O_NONBLOCK; and whole lines, as others may write there, too.
 */
static size_t piece(const struct access_log *log, const char *bytes, size_t size)
{
	const char *end;

	if (log->target.is_file || size <= PIPE_BUF)
		return size;
	end = memrchr(bytes, '\n', PIPE_BUF);
	return end ? (size_t)(end - bytes) + 1 : PIPE_BUF;
}

static ssize_t write_piece(struct access_log *log, const char *bytes, size_t size)
{
	size_t wanted = piece(log, bytes, size);
	ssize_t written;

	if (log->torn && write(log->target.fd, "\n", 1) < 0)
		return -errno;
	log->torn = false;
	written = write(log->target.fd, bytes, wanted);
	if (written < 0)
		return -errno;
	return written;
}

static void flush(struct access_log *log)
{
	const char *bytes = log->buffer, *end = log->buffer + log->used;

	log->used = 0;
	while (bytes < end && log->target.fd >= 0) {
		ssize_t written = await_room(log);

		if (!written)
			written = write_piece(log, bytes, (size_t)(end - bytes));
		if (written == -EAGAIN || written == -EINTR) {
			adopt(log, false);
			continue;
		}
		if (written < 0) {
			lose(log, bytes, (size_t)(end - bytes), (int)-written);
			return;
		}
		log->written += lines_of(bytes, (size_t)written);
		log->broken = false;
		bytes += written;
		log->torn = bytes[-1] != '\n';
	}
}

/* Returns whether there was anything. */
static bool take(struct access_log *log, struct access_entry *entry)
{
	bool any;

	pthread_mutex_lock(&log->lock);
	any = log->count;
	if (any) {
		*entry = log->queue[log->first];
		log->first = (log->first + 1) % QUEUE;
		log->count--;
	}
	pthread_mutex_unlock(&log->lock);
	return any;
}

static void write_all(struct access_log *log)
{
	struct access_entry entry;

	while (take(log, &entry)) {
		char *line = access_line(&entry);
		size_t size = line ? strlen(line) : 0;

		if (!line || size + 1 > sizeof(log->buffer)) {
			log->failed++;
			free(line);
			continue;
		}
		if (log->used + size + 1 > sizeof(log->buffer))
			flush(log);
		memcpy(log->buffer + log->used, line, size);
		log->buffer[log->used + size] = '\n';
		log->used += size + 1;
		free(line);
	}
	flush(log);
}

static void *run(void *user)
{
	const struct timespec pause = {.tv_nsec = GATHER_MS * 1000000};
	struct access_log *log = user;
	bool stopping;

	do {
		pthread_mutex_lock(&log->lock);
		while (!log->count && !log->changed && !log->stopping)
			pthread_cond_wait(&log->more, &log->lock);
		stopping = log->stopping;
		pthread_mutex_unlock(&log->lock);
		if (!stopping)
			nanosleep(&pause, NULL);
		adopt(log, false);
		write_all(log);
		adopt(log, true);
	} while (!stopping);
	return NULL;
}

/* --- For the main thread ----------------------------------------------------------------- */

int access_log_new(struct access_log **out)
{
	struct access_log *log = calloc(1, sizeof(*log));

	if (!log)
		return -ENOMEM;
	log->target.fd = -1;
	log->next.fd = -1;
	log->wake = -1;
	pthread_mutex_init(&log->lock, NULL);
	pthread_cond_init(&log->more, NULL);
	*out = log;
	return 0;
}

static int start(struct access_log *log)
{
	sigset_t all, before;
	int err;

	if (log->started)
		return 0;
	if (!log->queue)
		log->queue = malloc(QUEUE * sizeof(*log->queue));
	if (log->wake < 0)
		log->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!log->queue || log->wake < 0)
		return log->queue ? -errno : -ENOMEM;
	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&log->thread, NULL, run, log);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	log->started = !err;
	return -err;
}

static void wake(struct access_log *log)
{
	pthread_cond_signal(&log->more);
	eventfd_write(log->wake, 1);
}

int access_log_prepare(struct access_log *log, const struct access_target *target)
{
	int err = target->fd < 0 ? 0 : start(log);

	if (err)
		log_error("access_log %s: %s", target->name, strerror(-err));
	return err;
}

int access_log_follow(struct access_log *log, struct access_target *target)
{
	int err = access_log_prepare(log, target);

	if (err || !log->started) {
		access_target_close(target);
		return err;
	}
	atomic_store(&log->on, target->fd >= 0);
	pthread_mutex_lock(&log->lock);
	log->failed_only = target->failed_only;
	access_target_close(&log->next);
	log->next = *target;
	log->changed = true;
	wake(log);
	pthread_mutex_unlock(&log->lock);
	*target = (struct access_target){.fd = -1};
	return 0;
}

void access_log_free(struct access_log *log)
{
	if (!log)
		return;
	if (log->started) {
		pthread_mutex_lock(&log->lock);
		log->stopping = true;
		wake(log);
		pthread_mutex_unlock(&log->lock);
		pthread_join(log->thread, NULL);
	}
	if (log->failed || log->dropped)
		log_warning("access_log: %llu lines were lost, %llu dropped",
			    (unsigned long long)log->failed, (unsigned long long)log->dropped);
	access_target_close(&log->target);
	access_target_close(&log->next);
	if (log->wake >= 0)
		close(log->wake);
	pthread_mutex_destroy(&log->lock);
	pthread_cond_destroy(&log->more);
	free(log->queue);
	free(log);
}

json_t *access_log_json(struct access_log *log)
{
	return json_pack("{s:b,s:I,s:I,s:I}", "on", atomic_load(&log->on), "lines",
			 (json_int_t)log->written, "dropped", (json_int_t)log->dropped, "failed",
			 (json_int_t)log->failed);
}

/* --- For the workers --------------------------------------------------------------------- */

bool access_log_wants(const struct access_log *log)
{
	return atomic_load_explicit(&log->on, memory_order_relaxed);
}

void access_log_put(struct access_log *log, const struct access_entry *entry)
{
	if (!access_log_wants(log))
		return;
	pthread_mutex_lock(&log->lock);
	if (log->failed_only && !entry->fault) {
		pthread_mutex_unlock(&log->lock);
		return;
	}
	if (log->count == QUEUE) {
		log->dropped++;
	} else {
		log->queue[(log->first + log->count) % QUEUE] = *entry;
		if (!log->count++)
			pthread_cond_signal(&log->more);
	}
	pthread_mutex_unlock(&log->lock);
}
