#include "endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"

#define TURNS 16 /* reads and writes before another connection's turn */

const char *side_name(enum side side)
{
	return side == CLIENT ? "client" : "server";
}

struct endpoint *endpoint_new(struct loop *loop, int fd, enum side side)
{
	struct endpoint *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->loop = loop;
	e->fd = fd;
	e->side = side;
	e->phase = side == CLIENT ? PHASE_CONNECTING : PHASE_ANONYMOUS;
	e->born_ms = loop->now_ms;
	e->blocking = !(fcntl(fd, F_GETFL) & O_NONBLOCK);
	return e;
}

/*
 * Whoever has the file for a moment, as a bpf_iter/task_file program does, keeps it in the epoll
 * set after close: take it out first, for its events lead to the endpoint.
 */
static void close_socket(struct endpoint *e)
{
	if (e->fd < 0)
		return;
	epoll_ctl(e->loop->epoll, EPOLL_CTL_DEL, e->fd, NULL);
	close(e->fd);
	e->fd = -1;
}

void endpoint_free(struct endpoint *e)
{
	close_socket(e);
	plan_free(&e->plan);
	free(e->big);
	free(e);
}

void endpoint_begin(struct endpoint *e, struct flow *f, size_t received)
{
	const struct options *o = e->loop->storm->options;
	int one = 1;

	e->flow = f;
	e->phase = PHASE_RUNNING;
	e->received = received;
	plan_build(&e->plan, &o->rules, f->index);
	stream_init(&e->out, o->rules.seed, f->index, e->side,
		    e->plan.opener == OPENS_CLIENT ? e->side == CLIENT : e->side == SERVER);
	stream_init(&e->in, o->rules.seed, f->index, other(e->side),
		    e->plan.opener == OPENS_CLIENT ? e->side == SERVER : e->side == CLIENT);
	e->rng.state = mix64(e->out.key);
	if (endpoint_script(e)->nodelay)
		setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (endpoint_script(e)->rcvbuf && e->side == SERVER)
		setsockopt(e->fd, SOL_SOCKET, SO_RCVBUF, &endpoint_script(e)->rcvbuf, sizeof(int));
	atomic_store(&f->received[e->side], received);
	flow_progress(f, e->loop->now_ms);
}

void endpoint_abort(struct endpoint *e)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (e->fd >= 0)
		setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close_socket(e);
	e->phase = PHASE_OVER;
}

void endpoint_fail(struct endpoint *e, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (e->side == CLIENT)
		client_failed(e);
	if (e->flow)
		flow_fail(e->loop->storm, e->flow, side_name(e->side), "%s", text);
	else
		stray_fail(e->loop->storm, side_name(e->side), "%s", text);
	endpoint_abort(e);
}

const char *stream_name(enum side from)
{
	return from == CLIENT ? "up" : "down";
}

void endpoint_finish(struct endpoint *e)
{
	close_socket(e);
	e->phase = PHASE_OVER;
}

static bool awaits_reset(const struct endpoint *e)
{
	return e->plan.resets && e->plan.resetter == other(e->side);
}

void endpoint_reset_arrived(struct endpoint *e)
{
	atomic_fetch_add(&e->loop->storm->count.resets_seen, 1);
	endpoint_finish(e);
}

void endpoint_error(struct endpoint *e, const char *call, int error)
{
	struct storm *s = e->loop->storm;

	if (awaits_reset(e) && atomic_load(&e->flow->reset_sent[other(e->side)])) {
		if (e->reset_seen || (error == ECONNRESET && !strcmp(call, "recv"))) {
			endpoint_reset_arrived(e);
			return;
		}
		/* What came before the reset is still to be read and must be right. */
		e->reset_seen = error == ECONNRESET;
		e->step = endpoint_script(e)->count;
		e->readable = true;
		return;
	}
	if (error == ECONNRESET || error == EPIPE)
		atomic_fetch_add(&s->count.reset, 1);
	endpoint_fail(e,
		      "%s: %s, after %" PRIu64 " of %" PRIu64 " %s bytes sent and %" PRIu64
		      " of %" PRIu64 " %s bytes received",
		      call, strerror(error), e->sent, endpoint_script(e)->total,
		      stream_name(e->side), e->received, endpoint_incoming(e),
		      stream_name(other(e->side)));
}

static bool run(struct endpoint *e)
{
	bool more = true;

	for (int turn = 0; more && turn < TURNS; turn++) {
		more = endpoint_receive(e);
		if (e->phase == PHASE_RUNNING)
			more |= endpoint_advance(e);
		more &= e->phase == PHASE_RUNNING;
	}
	return more;
}

bool endpoint_pump(struct endpoint *e)
{
	switch (e->phase) {
	case PHASE_CONNECTING:
		return e->writable && client_connected(e);
	case PHASE_ANONYMOUS:
		return e->side == CLIENT ? client_identify(e) : server_identify(e);
	case PHASE_RUNNING:
		return run(e);
	case PHASE_OVER:
		break;
	}
	return false;
}

uint64_t endpoint_wake(const struct endpoint *e)
{
	uint64_t now = e->loop->now_ms, wake = UINT64_MAX;

	if (e->phase != PHASE_RUNNING)
		return wake;
	if (e->send_wake_ms > now)
		wake = e->send_wake_ms;
	if (e->recv_wake_ms > now && e->recv_wake_ms < wake)
		wake = e->recv_wake_ms;
	return wake;
}

static void hung(struct endpoint *e)
{
	struct flow *f = e->flow;
	int unread = 0; /* by us: more than 0 would be storm's own fault */

	ioctl(e->fd, FIONREAD, &unread);
	atomic_fetch_add(&e->loop->storm->count.hung, 1);
	endpoint_fail(
		e,
		"hung for %u s; up: %" PRIu64 " of %" PRIu64 " sent%s, %" PRIu64
		" received; down: %" PRIu64 " of %" PRIu64 " sent%s, %" PRIu64
		" received; %s the end of the %s stream; %d bytes unread",
		e->loop->storm->options->timeout_ms / 1000, atomic_load(&f->sent[CLIENT]),
		e->plan.script[CLIENT].total, atomic_load(&f->fin_sent[CLIENT]) ? " and FIN" : "",
		atomic_load(&f->received[SERVER]), atomic_load(&f->sent[SERVER]),
		e->plan.script[SERVER].total, atomic_load(&f->fin_sent[SERVER]) ? " and FIN" : "",
		atomic_load(&f->received[CLIENT]), e->eof ? "has seen" : "has not seen",
		stream_name(other(e->side)), unread);
}

/* A silent client, and a server that does not know its flow, may have to wait for other flows. */
static unsigned int patience_ms(const struct endpoint *e)
{
	bool on_its_own = e->phase == PHASE_CONNECTING || (e->side == CLIENT && e->shut);

	return e->loop->storm->options->timeout_ms * (on_its_own ? 1 : 2);
}

static void check_anonymous(struct endpoint *e)
{
	if (e->loop->now_ms <= e->born_ms + patience_ms(e))
		return;
	atomic_fetch_add(&e->loop->storm->count.hung, 1);
	if (e->phase == PHASE_CONNECTING)
		endpoint_fail(e, "hung: connecting");
	else if (e->side == CLIENT)
		endpoint_fail(e, "hung: no greeting came from the server");
	else
		endpoint_fail(e, "hung: neither a byte nor the end of stream came");
}

void endpoint_check(struct endpoint *e)
{
	if (e->flow && atomic_load(&e->flow->failed))
		endpoint_abort(e);
	else if (e->phase == PHASE_CONNECTING || e->phase == PHASE_ANONYMOUS)
		check_anonymous(e);
	else if (e->phase == PHASE_RUNNING &&
		 e->loop->now_ms >
			 atomic_load(&e->flow->progress_ms) + e->loop->storm->options->timeout_ms)
		hung(e);
}

enum id_result endpoint_read_id(struct endpoint *e)
{
	while (e->id_have < ID_LEN) {
		ssize_t n;

		if (!e->readable)
			return ID_NONE_YET;
		n = endpoint_recv(e, e->id + e->id_have, ID_LEN - e->id_have);
		if (n > (ssize_t)(ID_LEN - e->id_have)) {
			errno = EOVERFLOW;
			return ID_ERROR;
		}
		if (n == 0)
			return ID_EOF;
		if (n > 0)
			e->id_have += (size_t)n;
		else if (errno == EAGAIN)
			e->readable = false;
		else if (errno != EINTR)
			return ID_ERROR;
	}
	return ID_COMPLETE;
}
