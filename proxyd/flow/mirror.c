// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/mirror.h"

#include <errno.h>
#include <event2/buffer.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow/connect.h"
#include "flow/worker.h"
#include "socket_options.h"

/* Bytes of a mirror that proxyd holds, besides those in the socket's send buffer. */
#define BUFFER_MAX (256 * 1024)

/* Of its answers at once, so that a mirror that talks a lot does not starve the flows. */
#define ANSWER_BYTES (1024 * 1024)

/* A mirror whose flow has ended may take this long: after its last progress, and in all. */
#define LINGER_MS     5000
#define LINGER_MS_MAX 60000

/* More mirrors than this are not kept waiting for: the oldest is reset. */
#define LINGERING_MAX 1024

enum mirror_state {
	MIRROR_CONNECTING,
	MIRROR_OPEN,
	MIRROR_SHUT, /* it was sent the FIN; only its answers are awaited */
	MIRROR_OVER, /* no socket any more */
};

TAILQ_HEAD(mirror_list, mirror);

struct mirrors {
	struct event_base *base;
	struct stats *stats;
	struct room *room;
	struct mirror_list attached;  /* have a flow */
	struct mirror_list lingering; /* have none; the oldest first */
	unsigned int lingering_count;
};

struct mirror {
	TAILQ_ENTRY(mirror) entry;
	struct mirrors *mirrors;
	struct endpoint *endpoint; /* NULL: none was to be had, or it was left */
	struct event *event;
	struct evbuffer *buffer;
	uint64_t connect_timeout;
	uint64_t give_up_at; /* ms; once it lingers */
	uint64_t unsent;     /* bytes, when it was last looked at */
	int fd;
	int watched;    /* EV_* */
	uint8_t state;  /* enum mirror_state */
	bool ended;     /* the client's stream */
	bool answered;  /* the mirror's stream has ended */
	bool lingering; /* the flow is gone */
};

bool mirror_takes(const struct mirror *mirror)
{
	return mirror->state == MIRROR_CONNECTING || mirror->state == MIRROR_OPEN;
}

/* --- Ends -------------------------------------------------------------------------------- */

static void over(struct mirror *mirror, bool abort)
{
	const struct linger hard = {.l_onoff = 1, .l_linger = 0};

	if (mirror->event)
		event_free(mirror->event);
	mirror->event = NULL;
	if (mirror->fd >= 0) {
		if (abort)
			setsockopt(mirror->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(mirror->fd);
		room_leave(mirror->mirrors->room);
	}
	mirror->fd = -1;
	if (mirror->endpoint)
		endpoint_release(mirror->endpoint);
	mirror->endpoint = NULL;
	mirror->state = MIRROR_OVER;
}

static void give_up(struct mirror *mirror, enum mirror_loss why)
{
	struct stats *stats = mirror->mirrors->stats;
	size_t held = evbuffer_get_length(mirror->buffer);

	stats_add(&stats->mirrors_lost[why], 1);
	stats_add(&stats->mirror_dropped, held);
	evbuffer_drain(mirror->buffer, held);
	over(mirror, true);
}

/* The connect has failed with `err`, as errno. */
static void unreachable(struct mirror *mirror, int err)
{
	if (connect_is_remote(err))
		endpoint_report(mirror->endpoint, ENDPOINT_CONNECT_FAILED, worker_now_ms());
	give_up(mirror, MIRROR_UNREACHABLE);
}

/* It must not be on a list any more. */
static void destroy(struct mirror *mirror)
{
	over(mirror, true);
	if (mirror->buffer)
		evbuffer_free(mirror->buffer);
	free(mirror);
}

/* --- Bytes ------------------------------------------------------------------------------- */

/* With everything sent, pass the end on. */
static void shut(struct mirror *mirror)
{
	mirror->state = MIRROR_SHUT;
	if (shutdown(mirror->fd, SHUT_WR) || mirror->answered)
		over(mirror, false);
}

static void is_connected(struct mirror *mirror)
{
	endpoint_report(mirror->endpoint, ENDPOINT_CONNECTED, worker_now_ms());
	mirror->state = MIRROR_OPEN;
}

/* TCP has taken `sent` bytes or, below 0, failed with errno. Returns the bytes, 0 for none. */
static size_t took(struct mirror *mirror, ssize_t sent)
{
	if (sent < 0) {
		if (errno == EAGAIN || errno == EINTR)
			return 0;
		if (mirror->state == MIRROR_CONNECTING)
			unreachable(mirror, errno);
		else
			give_up(mirror, MIRROR_RESET);
		return 0;
	}
	if (mirror->state == MIRROR_CONNECTING)
		is_connected(mirror);
	stats_add(&mirror->mirrors->stats->mirrored, (uint64_t)sent);
	return (size_t)sent;
}

/* Also while it connects: much may come before the event that tells of the connect. */
static void flush(struct mirror *mirror)
{
	while (mirror_takes(mirror) && evbuffer_get_length(mirror->buffer))
		if (!took(mirror, evbuffer_write(mirror->buffer, mirror->fd)))
			return;
	if (mirror->state == MIRROR_OPEN && mirror->ended)
		shut(mirror);
}

/* With MSG_TRUNC TCP copies nothing (tcp(7)). */
static void discard(struct mirror *mirror)
{
	ssize_t size = recv(mirror->fd, NULL, ANSWER_BYTES, MSG_TRUNC | MSG_DONTWAIT);

	if (size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	mirror->answered = true;
	if (mirror->state == MIRROR_SHUT)
		over(mirror, false);
	else if (size < 0)
		give_up(mirror, MIRROR_RESET);
}

static void connected(struct mirror *mirror)
{
	socklen_t size = sizeof(int);
	int err = 0;

	if (getsockopt(mirror->fd, SOL_SOCKET, SO_ERROR, &err, &size) || err)
		unreachable(mirror, err);
	else
		is_connected(mirror);
}

/* --- Events ------------------------------------------------------------------------------ */

static void on_event(evutil_socket_t fd, short what, void *user);

/*
 * What is waited for now. An event that waits for nothing is taken out, or an error that nobody
 * asked for would spin (worker.h). Returns 0 or -ENOMEM.
 */
static int watch(struct mirror *mirror)
{
	bool connecting = mirror->state == MIRROR_CONNECTING && mirror->connect_timeout;
	const uint64_t wait = connecting ? mirror->connect_timeout : LINGER_MS;
	const struct timeval timeout = {.tv_sec = (time_t)(wait / 1000),
					.tv_usec = (suseconds_t)(wait % 1000 * 1000)};
	bool timed = mirror->lingering || connecting;
	int what = timed ? EV_TIMEOUT : 0;

	if (mirror->state == MIRROR_CONNECTING || evbuffer_get_length(mirror->buffer))
		what |= EV_WRITE;
	if (mirror->state != MIRROR_CONNECTING && !mirror->answered)
		what |= EV_READ;
	if (what == mirror->watched)
		return 0;
	mirror->watched = what;
	event_del(mirror->event);
	if (!what)
		return 0;
	if (event_assign(mirror->event, mirror->mirrors->base, mirror->fd,
			 (short)(what | EV_PERSIST), on_event, mirror) ||
	    event_add(mirror->event, timed ? &timeout : NULL))
		return -ENOMEM;
	return 0;
}

/* Whatever was done to the mirror, this comes last: it may free it. */
static void settle(struct mirror *mirror)
{
	if (mirror->state != MIRROR_OVER && watch(mirror))
		give_up(mirror, MIRROR_SLOW);
	if (mirror->state != MIRROR_OVER || !mirror->lingering)
		return;
	TAILQ_REMOVE(&mirror->mirrors->lingering, mirror, entry);
	mirror->mirrors->lingering_count--;
	destroy(mirror);
}

/* Bytes that the mirror has not acknowledged. */
static uint64_t unsent(const struct mirror *mirror)
{
	int queued = 0;

	ioctl(mirror->fd, SIOCOUTQ, &queued);
	return evbuffer_get_length(mirror->buffer) + (uint64_t)queued;
}

static bool is_too_late(struct mirror *mirror, bool timeout)
{
	uint64_t before = mirror->unsent;

	if (!mirror->lingering)
		return false;
	mirror->unsent = unsent(mirror);
	return worker_now_ms() >= mirror->give_up_at || (timeout && mirror->unsent == before);
}

static void on_event(evutil_socket_t fd, short what, void *user)
{
	struct mirror *mirror = user;

	(void)fd;
	if (is_too_late(mirror, what & EV_TIMEOUT)) {
		if (mirror->unsent)
			give_up(mirror, MIRROR_SLOW);
		else
			over(mirror, false);
	} else if (mirror->state == MIRROR_CONNECTING) {
		if (what & EV_TIMEOUT)
			unreachable(mirror, ETIMEDOUT);
		else
			connected(mirror);
	} else if (what & EV_READ) {
		discard(mirror);
	}
	flush(mirror);
	settle(mirror);
}

/* --- The flow's side --------------------------------------------------------------------- */

static void start_connect(struct mirror *mirror, const struct mirror_target *target)
{
	const struct upstream_request request = {
		.source = target->source,
		.now_ms = worker_now_ms(),
		.random = target->random,
	};
	const struct address *to;

	if (upstream_pick(target->upstream, &request, &mirror->endpoint)) {
		give_up(mirror, MIRROR_UNREACHABLE);
		return;
	}
	to = endpoint_address(mirror->endpoint);
	mirror->fd =
		socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (mirror->fd >= 0)
		room_enter(mirror->mirrors->room);
	if (mirror->fd < 0 || socket_options_set(mirror->fd, &target->options->tcp, true) ||
	    socket_options_bind(mirror->fd, to, &target->options->tcp))
		give_up(mirror, MIRROR_UNREACHABLE);
	else if (connect(mirror->fd, &to->any, to->length) && errno != EINPROGRESS)
		unreachable(mirror, errno);
}

int mirror_new(struct mirrors *mirrors, const struct mirror_target *target, struct mirror **out)
{
	struct mirror *mirror = calloc(1, sizeof(*mirror));

	if (!mirror)
		return -ENOMEM;
	mirror->mirrors = mirrors;
	mirror->fd = -1;
	mirror->connect_timeout = target->options->connect_timeout;
	mirror->event = event_new(mirrors->base, -1, 0, on_event, mirror);
	mirror->buffer = evbuffer_new();
	if (!mirror->event || !mirror->buffer) {
		destroy(mirror);
		return -ENOMEM;
	}
	TAILQ_INSERT_TAIL(&mirrors->attached, mirror, entry);
	stats_add(&mirrors->stats->mirrors_total, 1);
	start_connect(mirror, target);
	settle(mirror);
	*out = mirror;
	return 0;
}

void mirror_miss(struct mirror *mirror, size_t size)
{
	stats_add(&mirror->mirrors->stats->mirror_dropped, size);
}

/* What TCP takes at once is not copied once more. Returns the number of bytes. */
static size_t send_now(struct mirror *mirror, const void *bytes, size_t size)
{
	flush(mirror);
	if (!mirror_takes(mirror) || evbuffer_get_length(mirror->buffer))
		return 0;
	return took(mirror, send(mirror->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT));
}

void mirror_give(struct mirror *mirror, const void *bytes, size_t size)
{
	size_t sent = send_now(mirror, bytes, size), rest = size - sent;

	if (mirror_takes(mirror) && rest &&
	    (evbuffer_get_length(mirror->buffer) + rest > BUFFER_MAX ||
	     evbuffer_add(mirror->buffer, (const char *)bytes + sent, rest)))
		give_up(mirror, MIRROR_SLOW);
	if (!mirror_takes(mirror))
		mirror_miss(mirror, rest);
	settle(mirror);
}

void mirror_end(struct mirror *mirror)
{
	mirror->ended = true;
	flush(mirror);
	settle(mirror);
}

void mirror_leave(struct mirror *mirror)
{
	struct mirrors *mirrors;
	struct mirror *oldest;

	if (!mirror)
		return;
	mirrors = mirror->mirrors;
	if (!mirror->ended)
		over(mirror, true);
	TAILQ_REMOVE(&mirrors->attached, mirror, entry);
	TAILQ_INSERT_TAIL(&mirrors->lingering, mirror, entry);
	mirrors->lingering_count++;
	mirror->lingering = true;
	mirror->give_up_at = worker_now_ms() + LINGER_MS_MAX;
	mirror->unsent = mirror->fd >= 0 ? unsent(mirror) : 0;
	settle(mirror);
	if (mirrors->lingering_count <= LINGERING_MAX)
		return;
	oldest = TAILQ_FIRST(&mirrors->lingering);
	give_up(oldest, MIRROR_SLOW);
	settle(oldest);
}

/* --- All of a worker --------------------------------------------------------------------- */

int mirrors_new(struct event_base *base, struct stats *stats, struct room *room,
		struct mirrors **out)
{
	struct mirrors *mirrors = calloc(1, sizeof(*mirrors));

	if (!mirrors)
		return -ENOMEM;
	mirrors->base = base;
	mirrors->stats = stats;
	mirrors->room = room;
	TAILQ_INIT(&mirrors->attached);
	TAILQ_INIT(&mirrors->lingering);
	*out = mirrors;
	return 0;
}

static void destroy_all(struct mirror_list *list)
{
	struct mirror *mirror = TAILQ_FIRST(list), *next;

	for (; mirror; mirror = next) {
		next = TAILQ_NEXT(mirror, entry);
		destroy(mirror);
	}
}

void mirrors_free(struct mirrors *mirrors)
{
	if (!mirrors)
		return;
	destroy_all(&mirrors->attached);
	destroy_all(&mirrors->lingering);
	free(mirrors);
}
