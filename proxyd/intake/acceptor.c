// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "intake/acceptor.h"

#include <errno.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow/kernel_lane.h"
#include "log.h"
#include "socket_options.h"

#define ACCEPT_PAUSE_MS 100

/* A listening socket. */
struct door {
	struct acceptor *acceptor;
	struct evconnlistener *listener;
	struct address address;
	unsigned int index; /* of the listener in the config */
};

struct acceptor {
	struct acceptor_options options;
	struct event *resume;
	struct door **doors;
	unsigned int count;
};

static void accepted(struct acceptor *acceptor, unsigned int index, int fd,
		     const struct sockaddr *from, socklen_t length)
{
	struct address client = {.length = 0};

	if (length <= sizeof(client.ipv6)) {
		memcpy(&client.any, from, length);
		client.length = length;
	}
	acceptor->options.accepted(acceptor->options.user, index, fd, &client);
}

static bool is_full(struct acceptor *acceptor)
{
	return room_is_full(acceptor->options.room, acceptor->options.worker);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int length, void *user)
{
	struct door *door = user;
	struct acceptor *acceptor = door->acceptor;

	(void)listener;
	accepted(acceptor, door->index, fd, address, (socklen_t)length);
	if (!is_full(acceptor))
		return;
	for (unsigned int i = 0; i < acceptor->count; i++)
		evconnlistener_disable(acceptor->doors[i]->listener);
}

static void resume_listening(evutil_socket_t fd, short what, void *user)
{
	struct acceptor *acceptor = user;

	(void)fd;
	(void)what;
	if (is_full(acceptor))
		return;
	for (unsigned int i = 0; i < acceptor->count; i++)
		evconnlistener_enable(acceptor->doors[i]->listener);
}

/* Out of descriptors or memory: let live flows end rather than spin on accept. */
static void on_error(struct evconnlistener *listener, void *user)
{
	const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
	struct acceptor *acceptor = ((struct door *)user)->acceptor;
	counter *failures = acceptor->options.failures;
	int err = errno;

	if (!stats_get(failures))
		log_warning("cannot accept a connection: %s; trying again every %d ms (raise the "
			    "limit of open files?)",
			    strerror(err), ACCEPT_PAUSE_MS);
	stats_add(failures, 1);
	evconnlistener_disable(listener);
	evtimer_add(acceptor->resume, &pause);
}

/*
 * Reset the connections that there is no room for, as closing the listening socket would: but what
 * sock_ops keeps for each of them would stay.
 */
static void turn_away(const struct acceptor *acceptor, int listening)
{
	const struct linger hard = {.l_onoff = 1};
	int fd;

	while (acceptor->options.lane && (fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		kernel_lane_close(acceptor->options.lane, fd);
	}
}

/* Connections that wait to be accepted would be reset with their listening socket. */
static void close_door(struct door *door, bool accept)
{
	struct acceptor *acceptor = door->acceptor;
	int fd = evconnlistener_get_fd(door->listener), client;
	struct address from = {.length = sizeof(from.ipv6)};

	while (accept && !is_full(acceptor) &&
	       (client = accept4(fd, &from.any, &from.length, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		accepted(acceptor, door->index, client, &from.any, from.length);
		from.length = sizeof(from.ipv6);
	}
	if (accept)
		turn_away(acceptor, fd);
	evconnlistener_free(door->listener);
	free(door);
}

/* Takes `fd` over whatever it returns. Nobody is let in yet. */
static int make_door(struct acceptor *acceptor, int fd, struct door **out)
{
	struct door *door = calloc(1, sizeof(*door));

	if (door) {
		door->acceptor = acceptor;
		door->address.length = sizeof(door->address.ipv6);
		getsockname(fd, &door->address.any, &door->address.length);
		door->listener = evconnlistener_new(
			acceptor->options.base, on_accept, door,
			LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_DISABLED, 0, fd);
	}
	if (!door || !door->listener) {
		close(fd);
		free(door);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(door->listener, on_error);
	*out = door;
	return 0;
}

int acceptor_new(const struct acceptor_options *options, struct acceptor **out)
{
	struct acceptor *acceptor = calloc(1, sizeof(*acceptor));

	if (!acceptor)
		return -ENOMEM;
	acceptor->options = *options;
	acceptor->resume = evtimer_new(options->base, resume_listening, acceptor);
	if (!acceptor->resume) {
		free(acceptor);
		return -ENOMEM;
	}
	room_join(options->room, options->worker, acceptor->resume);
	*out = acceptor;
	return 0;
}

/* Take the door for the address out of the ones that were there before. */
static struct door *keep(struct acceptor *before, const struct config_listener *config)
{
	struct config_tcp options = config->tcp;

	/* The kernel lane needs its own. Not for a moment may clients come in with another one. */
	if (before->options.lane)
		options.send_buffer = 0;
	for (unsigned int i = 0; i < before->count; i++) {
		struct door *door = before->doors[i];

		if (!door || !address_equal(&door->address, &config->address))
			continue;
		before->doors[i] = NULL;
		socket_options_set(evconnlistener_get_fd(door->listener), &options, false);
		return door;
	}
	return NULL;
}

void acceptor_abandon(struct door **doors, unsigned int count)
{
	for (unsigned int i = 0; doors && i < count; i++)
		if (doors[i])
			close_door(doors[i], false);
	free(doors);
}

int acceptor_prepare(struct acceptor *acceptor, const struct config *config, const int *listening,
		     struct door ***out)
{
	struct door **doors = calloc(config->listener_count + 1, sizeof(struct door *));
	int err = doors ? 0 : -ENOMEM;

	for (unsigned int i = 0; i < config->listener_count; i++) {
		if (listening[i] >= 0 && err)
			close(listening[i]);
		else if (listening[i] >= 0)
			err = make_door(acceptor, listening[i], &doors[i]);
	}
	if (err)
		acceptor_abandon(doors, config->listener_count);
	else
		*out = doors;
	return err;
}

/* Without memory for the event, again in a while. */
static void open_door(struct acceptor *acceptor, struct door *door)
{
	const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};

	if (evconnlistener_enable(door->listener))
		evtimer_add(acceptor->resume, &pause);
}

void acceptor_follow(struct acceptor *acceptor, const struct config *config, struct door **doors)
{
	struct acceptor before = *acceptor;

	acceptor->count = 0;
	acceptor->doors = doors;
	for (unsigned int i = 0; i < config->listener_count; i++) {
		struct door *door = doors[i];

		if (door)
			open_door(acceptor, door);
		else
			door = keep(&before, &config->listeners[i]);
		if (!door)
			continue;
		door->index = i;
		acceptor->doors[acceptor->count++] = door;
	}
	for (unsigned int i = 0; i < before.count; i++)
		if (before.doors[i])
			close_door(before.doors[i], true);
	free(before.doors);
}

void acceptor_close(struct acceptor *acceptor, unsigned int listener, bool accept)
{
	for (unsigned int i = 0; i < acceptor->count; i++) {
		struct door *door = acceptor->doors[i];

		if (door->index != listener)
			continue;
		acceptor->doors[i] = acceptor->doors[--acceptor->count];
		close_door(door, accept);
		return;
	}
}

void acceptor_close_all(struct acceptor *acceptor, bool accept)
{
	while (acceptor->count)
		close_door(acceptor->doors[--acceptor->count], accept);
}

void acceptor_free(struct acceptor *acceptor)
{
	if (!acceptor)
		return;
	acceptor_close_all(acceptor, false);
	room_quit(acceptor->options.room, acceptor->options.worker);
	free(acceptor->doors);
	event_free(acceptor->resume);
	free(acceptor);
}
