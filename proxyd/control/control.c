// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "control/control.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"

#define REQUEST_MAX      4096
#define CLIENT_TIMEOUT_S 5
#define ACCEPT_PAUSE_MS  100
#define PATH_BYTES       sizeof(((struct sockaddr_un *)0)->sun_path)
#define LOCK_SUFFIX      ".lock"

struct control {
	struct requests requests;
	struct evconnlistener *listener;
	struct event *resume; /* listen again */
	int lock;             /* on the path, see lock_path() */
	char path[PATH_BYTES];
};

static int address_of(const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	return 0;
}

static int connect_to(const char *path)
{
	const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
	struct sockaddr_un address;
	int err = address_of(path, &address);
	int fd;

	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

/* The default folder may not exist yet; another one is the user's business. */
static void make_folder(const char *path)
{
	static const char folder[] = "/run/proxyd/";

	if (!strncmp(path, folder, strlen(folder)))
		mkdir(folder, 0755);
}

static void lock_name(const char *path, char name[PATH_BYTES + sizeof(LOCK_SUFFIX)])
{
	snprintf(name, PATH_BYTES + sizeof(LOCK_SUFFIX), "%s" LOCK_SUFFIX, path);
}

/*
 * Make the path ours until the process ends, however it does. Of two proxyds that start at once
 * and find a dead socket there, one would otherwise remove what the other has just bound. Returns
 * a descriptor or -errno: -EADDRINUSE when another one has the path.
 */
static int lock_path(const char *path)
{
	char name[PATH_BYTES + sizeof(LOCK_SUFFIX)];
	struct stat locked, found;

	lock_name(path, name);
	for (;;) {
		int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		int err;

		if (fd < 0)
			return -errno;
		err = flock(fd, LOCK_EX | LOCK_NB) ? errno : 0;
		/* The former owner may have removed the file since we opened it. */
		if (!err && !fstat(fd, &locked) && !stat(name, &found) &&
		    locked.st_ino == found.st_ino && locked.st_dev == found.st_dev)
			return fd;
		close(fd);
		if (err)
			return err == EWOULDBLOCK ? -EADDRINUSE : -err;
	}
}

static void unlock_path(const char *path, int lock)
{
	char name[PATH_BYTES + sizeof(LOCK_SUFFIX)];

	lock_name(path, name);
	unlink(name);
	close(lock);
}

/* Clear the path of what a killed proxyd left. Returns 0 or -errno. */
static int take_over(const char *path)
{
	struct stat found;
	int other;

	if (lstat(path, &found))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(found.st_mode))
		return -ENOTSOCK;
	other = connect_to(path);
	if (other >= 0) {
		close(other);
		return -EADDRINUSE;
	}
	if (other != -ECONNREFUSED)
		return other;
	return unlink(path) ? -errno : 0;
}

static int bind_socket(const char *path)
{
	struct sockaddr_un address;
	int err = address_of(path, &address);
	mode_t mask;
	int fd;

	if (!err)
		err = take_over(path);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* From the start, not by a later chmod(2): no moment at which others may connect. */
	mask = umask(0177);
	err = bind(fd, (struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
	umask(mask);
	if (!err && listen(fd, 16))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static void on_written(struct bufferevent *client, void *user)
{
	(void)user;
	bufferevent_free(client);
}

static void on_client_event(struct bufferevent *client, short what, void *user)
{
	(void)what;
	(void)user;
	bufferevent_free(client);
}

static void on_client_line(struct bufferevent *client, void *user)
{
	struct control *control = user;
	char *line = evbuffer_readln(bufferevent_get_input(client), NULL, EVBUFFER_EOL_CRLF);
	json_t *answer;
	char *text;

	if (!line) {
		if (evbuffer_get_length(bufferevent_get_input(client)) > REQUEST_MAX)
			bufferevent_free(client);
		return;
	}
	answer = requests_execute(&control->requests, line);
	text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
	bufferevent_disable(client, EV_READ);
	bufferevent_setcb(client, NULL, on_written, on_client_event, control);
	evbuffer_add_printf(bufferevent_get_output(client), "%s\n",
			    text ? text : "{\"error\":\"out of memory\"}");
	free(text);
	json_decref(answer);
	free(line);
}

static void on_client(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int length, void *user)
{
	const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
	struct bufferevent *client = bufferevent_socket_new(evconnlistener_get_base(listener), fd,
							    BEV_OPT_CLOSE_ON_FREE);

	(void)address;
	(void)length;
	if (!client) {
		close(fd);
		return;
	}
	bufferevent_setcb(client, on_client_line, NULL, on_client_event, user);
	bufferevent_set_timeouts(client, &timeout, &timeout);
	bufferevent_enable(client, EV_READ | EV_WRITE);
}

/* Out of descriptors or memory: wait for what comes back rather than spin on accept. */
static void on_error(struct evconnlistener *listener, void *user)
{
	const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
	struct control *control = user;

	evconnlistener_disable(listener);
	evtimer_add(control->resume, &pause);
}

static void resume_listening(evutil_socket_t fd, short what, void *user)
{
	struct control *control = user;

	(void)fd;
	(void)what;
	evconnlistener_enable(control->listener);
}

/* Takes `fd` over whatever it returns. NULL: out of memory. */
static struct control *serve(struct event_base *base, int fd)
{
	struct control *control = calloc(1, sizeof(*control));

	if (control) {
		control->resume = evtimer_new(base, resume_listening, control);
		control->listener =
			evconnlistener_new(base, on_client, control,
					   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	}
	if (control && control->resume && control->listener) {
		evconnlistener_set_error_cb(control->listener, on_error);
		return control;
	}
	if (control && control->listener)
		evconnlistener_free(control->listener);
	else
		close(fd);
	if (control && control->resume)
		event_free(control->resume);
	free(control);
	return NULL;
}

int control_new(struct event_base *base, const struct requests *requests, const char *path,
		struct control **out)
{
	struct control *control;
	int lock, fd;

	if (strlen(path) >= PATH_BYTES)
		return -ENAMETOOLONG;
	make_folder(path);
	lock = lock_path(path);
	if (lock < 0)
		return lock;
	fd = bind_socket(path);
	if (fd < 0) {
		unlock_path(path, lock);
		return fd;
	}
	control = serve(base, fd);
	if (!control) {
		unlink(path);
		unlock_path(path, lock);
		return -ENOMEM;
	}
	control->requests = *requests;
	control->lock = lock;
	strcpy(control->path, path);
	*out = control;
	return 0;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	evconnlistener_free(control->listener);
	event_free(control->resume);
	unlink(control->path);
	unlock_path(control->path, control->lock);
	free(control);
}

static json_t *ask(const char *path, const char *line, unsigned int seconds)
{
	const struct timeval timeout = {.tv_sec = seconds};
	int fd = connect_to(path);
	json_t *answer = NULL;

	if (fd < 0) {
		errno = -fd;
		return NULL;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (dprintf(fd, "%s\n", line) >= 0) {
		errno = 0;
		answer = json_loadfd(fd, JSON_DISABLE_EOF_CHECK, NULL);
		if (!answer && !errno)
			errno = EPROTO;
	}
	close(fd);
	return answer;
}

json_t *control_ask(const char *path, const json_t *request, unsigned int seconds)
{
	char *line = request ? json_dumps(request, JSON_COMPACT) : NULL;
	json_t *answer = line ? ask(path, line, seconds) : NULL;

	if (!line)
		log_error("what is asked is not UTF-8, or there is no memory");
	else if (!answer && errno == EAGAIN)
		log_error("no answer at %s within %u s: proxyd is busy, or was stopped by a signal",
			  path, seconds);
	else if (!answer)
		log_error("no answer at %s: %s; is proxyd running? (--control names its socket)",
			  path, strerror(errno));
	free(line);
	return answer;
}
