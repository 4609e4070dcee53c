// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "policy/check.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "policy/exchange.h"
#include "socket_options.h"

/* The longest answer that is looked at, and the longest that is read to its end. */
#define ANSWER_MAX (16 * 1024)
#define REST_MAX   (64 * 1024)

/* How long a server may take to close after its verdict is known. */
#define REST_MS 100

struct check_plan {
	unsigned int references;
	struct config_health health;
	struct config_tcp tcp;
};

struct check {
	struct check_plan *plan;
	struct bufferevent *socket; /* NULL: not even begun */
	struct event *timer;        /* the timeout, then the end of the rest */
	check_done_fn *done;
	void *user;
	struct check_result result;
	bool connected;
	bool decided; /* `result` stands */
	size_t rest;  /* bytes read since then */
};

/* --- Plans ------------------------------------------------------------------------------- */

static bool copy_text(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return !from || *to;
}

static bool copy_statuses(struct port_list *to, const struct port_list *from)
{
	size_t size = from->count * sizeof(*from->items);

	*to = (struct port_list){0};
	if (!from->count)
		return true;
	to->items = malloc(size);
	if (!to->items)
		return false;
	memcpy(to->items, from->items, size);
	to->count = from->count;
	return true;
}

int check_plan_new(const struct config_health *health, const struct config_tcp *tcp,
		   struct check_plan **out)
{
	struct check_plan *plan = calloc(1, sizeof(*plan));
	bool copied;

	if (!plan)
		return -ENOMEM;
	plan->references = 1;
	plan->health = *health;
	plan->tcp = *tcp;
	copied = copy_text(&plan->health.path, health->path);
	copied &= copy_text(&plan->health.host, health->host);
	copied &= copy_text(&plan->health.send, health->send);
	copied &= copy_text(&plan->health.expect, health->expect);
	copied &= copy_text(&plan->tcp.interface, tcp->interface);
	copied &= copy_statuses(&plan->health.statuses, &health->statuses);
	if (!copied) {
		check_plan_unref(plan);
		return -ENOMEM;
	}
	*out = plan;
	return 0;
}

struct check_plan *check_plan_ref(struct check_plan *plan)
{
	plan->references++;
	return plan;
}

void check_plan_unref(struct check_plan *plan)
{
	if (!plan || --plan->references)
		return;
	free(plan->health.path);
	free(plan->health.host);
	free(plan->health.send);
	free(plan->health.expect);
	free(plan->health.statuses.items);
	free(plan->tcp.interface);
	free(plan);
}

const struct config_health *check_plan_health(const struct check_plan *plan)
{
	return &plan->health;
}

/* --- The end ----------------------------------------------------------------------------- */

/*
 * A check that has said nothing leaves with a RST. Together with refuse_quick_ack() the server's
 * kernel then never completes the handshake: the application is not woken for a connection on which
 * nothing will come, its accept queue stays its clients', and neither side keeps a TIME_WAIT.
 * After an exchange a RST could overtake what was said; that ends with a FIN.
 */
static void leave(struct check *check)
{
	const struct linger none = {.l_onoff = 1};

	if (!check->socket)
		return;
	if (check->plan->health.kind == HEALTH_TCP && check->plan->health.header == PROXY_NONE)
		setsockopt(bufferevent_getfd(check->socket), SOL_SOCKET, SO_LINGER, &none,
			   sizeof(none));
	bufferevent_free(check->socket);
	check->socket = NULL;
}

static void finish(struct check *check)
{
	evtimer_del(check->timer);
	leave(check);
	check->done(check->user, &check->result); /* may have freed it */
}

static void decide(struct check *check, bool passed, const char *reason)
{
	check->decided = true;
	check->result.passed = passed;
	if (reason != check->result.reason)
		strncpy(check->result.reason, reason, sizeof(check->result.reason) - 1);
}

static void conclude(struct check *check, bool passed, const char *reason)
{
	decide(check, passed, reason);
	finish(check);
}

/* The result is known before check_new() has returned. */
static void conclude_soon(struct check *check, const char *reason)
{
	decide(check, false, reason);
	clock_arm(check->timer, 0);
}

static const char *connect_error(int err)
{
	switch (err) {
	case ECONNREFUSED:
		return "connect refused";
	case ETIMEDOUT:
		return "connect timeout";
	case EHOSTUNREACH:
		return "no route to host";
	case ENETUNREACH:
		return "network unreachable";
	default:
		return strerror(err);
	}
}

/* --- The exchange ------------------------------------------------------------------------ */

static void on_timer(evutil_socket_t fd, short what, void *user)
{
	struct check *check = user;

	(void)fd;
	(void)what;
	if (!check->decided)
		decide(check, false, check->connected ? "timeout" : "connect timeout");
	finish(check);
}

/* A server that is told `Connection: close` gets to say all of its answer, up to a limit. */
static void read_rest(struct check *check)
{
	struct evbuffer *input = bufferevent_get_input(check->socket);
	size_t length = evbuffer_get_length(input);

	check->rest += length;
	evbuffer_drain(input, length);
	if (check->rest > REST_MAX)
		finish(check);
}

static void judge(struct check *check, bool ended)
{
	struct evbuffer *input = bufferevent_get_input(check->socket);
	size_t length = evbuffer_get_length(input);
	const char *text = (const char *)evbuffer_pullup(input, -1);
	struct check_result *result = &check->result;
	enum verdict verdict;

	verdict = exchange_judge(&check->plan->health, text, text ? length : 0,
				 ended || length >= ANSWER_MAX, result->reason,
				 sizeof(result->reason));
	if (verdict == VERDICT_OPEN)
		return;
	decide(check, verdict == VERDICT_PASSED, result->reason);
	if (ended || check->plan->health.kind != HEALTH_HTTP) {
		finish(check);
		return;
	}
	clock_arm(check->timer, REST_MS);
	read_rest(check);
}

static void on_readable(struct bufferevent *socket, void *user)
{
	struct check *check = user;

	(void)socket;
	if (check->decided)
		read_rest(check);
	else if (check->plan->health.kind != HEALTH_TCP)
		judge(check, false);
}

/* All is said. */
static void on_written(struct bufferevent *socket, void *user)
{
	struct check *check = user;

	(void)socket;
	if (check->connected && check->plan->health.kind == HEALTH_TCP)
		conclude(check, true, "connected");
}

static void on_connected(struct check *check)
{
	check->connected = true;
	bufferevent_enable(check->socket, EV_READ);
	if (!evbuffer_get_length(bufferevent_get_output(check->socket)))
		on_written(check->socket, check);
}

static void on_event(struct bufferevent *socket, short what, void *user)
{
	struct check *check = user;
	int err = EVUTIL_SOCKET_ERROR();

	(void)socket;
	if (what & BEV_EVENT_CONNECTED)
		on_connected(check);
	else if (check->decided)
		finish(check);
	else if (!check->connected)
		conclude(check, false, connect_error(err));
	else if (what & BEV_EVENT_EOF)
		judge(check, true);
	else
		conclude(check, false, err == ECONNRESET ? "reset" : strerror(err));
}

/* --- The beginning ----------------------------------------------------------------------- */

/* Errors of connect(2) that come from here, not from the way or the server. */
static bool is_our_lack(int err)
{
	return err == EADDRNOTAVAIL || err == EAGAIN || err == ENOBUFS || err == ENOMEM;
}

/*
 * Leave the last ACK of the handshake for later: tcp_rcv_synsent_state_process() (net/ipv4,
 * 6.18) holds it back for up to TCP_DELACK_MAX, 200 ms, on a socket that is not to acknowledge
 * quickly.
 */
static void refuse_quick_ack(int fd)
{
	const int off = 0;

	setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off));
}

/* A socket with all that flows to the endpoint have set. Returns it, or -errno. */
static int open_socket(const struct check_plan *plan, const struct address *to)
{
	int fd = socket(to->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	int err;

	if (fd < 0)
		return -errno;
	err = socket_options_set(fd, &plan->tcp, true);
	if (!err)
		err = socket_options_bind(fd, to, &plan->tcp);
	if (err) {
		close(fd);
		return err;
	}
	if (plan->health.kind == HEALTH_TCP && plan->health.header == PROXY_NONE)
		refuse_quick_ack(fd);
	return fd;
}

/* Takes `fd` over. Returns 0 or -ENOMEM. */
static int attach_socket(struct check *check, struct event_base *base, int fd,
			 const struct address *to)
{
	struct bufferevent *socket = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

	if (!socket) {
		close(fd);
		return -ENOMEM;
	}
	check->socket = socket;
	bufferevent_setcb(socket, on_readable, on_written, on_event, check);
	bufferevent_setwatermark(socket, EV_READ, 0, ANSWER_MAX);
	/* Without an address: a connect(2) is under way. */
	if (!exchange_request(&check->plan->health, to, bufferevent_get_output(socket)) &&
	    !bufferevent_socket_connect(socket, NULL, 0))
		return 0;
	leave(check);
	return -ENOMEM;
}

static void begin(struct check *check, struct event_base *base, const struct address *to)
{
	int fd = open_socket(check->plan, to);
	int err = fd < 0 ? -fd : 0;
	bool unable = err != 0;

	if (!err && connect(fd, &to->any, to->length) && errno != EINPROGRESS) {
		err = errno;
		unable = is_our_lack(err);
		close(fd);
	} else if (!err) {
		err = -attach_socket(check, base, fd, to);
		unable = err != 0;
	}
	check->result.unable = unable;
	if (err)
		conclude_soon(check, unable ? strerror(err) : connect_error(err));
	else
		clock_arm(check->timer, check->plan->health.timeout);
}

static void set_port(struct address *address, uint16_t port)
{
	if (!port)
		return;
	if (address->any.sa_family == AF_INET6)
		address->ipv6.sin6_port = htons(port);
	else
		address->ipv4.sin_port = htons(port);
}

int check_new(struct event_base *base, struct check_plan *plan, const struct address *address,
	      check_done_fn *done, void *user, struct check **out)
{
	struct check *check = calloc(1, sizeof(*check));
	struct address to = *address;

	if (!check)
		return -ENOMEM;
	check->timer = evtimer_new(base, on_timer, check);
	if (!check->timer) {
		free(check);
		return -ENOMEM;
	}
	check->plan = check_plan_ref(plan);
	check->done = done;
	check->user = user;
	set_port(&to, plan->health.port);
	begin(check, base, &to);
	*out = check;
	return 0;
}

void check_free(struct check *check)
{
	if (!check)
		return;
	leave(check);
	event_free(check->timer);
	check_plan_unref(check->plan);
	free(check);
}
