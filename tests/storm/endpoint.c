#include "endpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loop.h"

#define TURNS	 16 /* reads and writes before another connection's turn */
#define PIECES	 7
#define EVIDENCE 32 /* bytes after a wrong one, to tell where they come from */

const char *side_name(enum side side)
{
	return side == CLIENT ? "client" : "server";
}

static const char *stream_name(enum side from)
{
	return from == CLIENT ? "up" : "down";
}

static struct script *script(struct endpoint *e)
{
	return &e->plan.script[e->side];
}

static uint64_t incoming_total(const struct endpoint *e)
{
	return e->plan.script[other(e->side)].total;
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
	return e;
}

void endpoint_free(struct endpoint *e)
{
	if (e->fd >= 0)
		close(e->fd);
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
	if (script(e)->nodelay)
		setsockopt(e->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (script(e)->rcvbuf && e->side == SERVER)
		setsockopt(e->fd, SOL_SOCKET, SO_RCVBUF, &script(e)->rcvbuf, sizeof(int));
	atomic_store(&f->received[e->side], received);
	flow_progress(f, e->loop->now_ms);
}

void endpoint_abort(struct endpoint *e)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	if (e->fd >= 0) {
		setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(e->fd);
	}
	e->fd = -1;
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

static void finish(struct endpoint *e)
{
	close(e->fd);
	e->fd = -1;
	e->phase = PHASE_OVER;
}

static bool awaits_reset(const struct endpoint *e)
{
	return e->plan.resets && e->plan.resetter == other(e->side);
}

static void reset_arrived(struct endpoint *e)
{
	atomic_fetch_add(&e->loop->storm->count.resets_seen, 1);
	finish(e);
}

static void on_error(struct endpoint *e, const char *call, int error)
{
	struct storm *s = e->loop->storm;

	if (awaits_reset(e) && atomic_load(&e->flow->reset_sent[other(e->side)])) {
		if (e->reset_seen || (error == ECONNRESET && !strcmp(call, "recv"))) {
			reset_arrived(e);
			return;
		}
		/* What came before the reset is still to be read and must be right. */
		e->reset_seen = error == ECONNRESET;
		e->step = script(e)->count;
		e->readable = true;
		return;
	}
	if (error == ECONNRESET || error == EPIPE)
		atomic_fetch_add(&s->count.reset, 1);
	endpoint_fail(e, "%s: %s, after %" PRIu64 " of %" PRIu64 " %s bytes sent and %" PRIu64
		      " of %" PRIu64 " %s bytes received", call, strerror(error), e->sent,
		      script(e)->total, stream_name(e->side), e->received, incoming_total(e),
		      stream_name(other(e->side)));
}

static void on_eof(struct endpoint *e)
{
	struct storm *s = e->loop->storm;
	enum side peer = other(e->side);

	e->eof = true;
	if (e->reset_seen) {
		reset_arrived(e);
		return;
	}
	if (atomic_load(&e->flow->reset_sent[peer])) {
		atomic_fetch_add(&s->count.resets_as_eof, 1);
		if (s->options->reset_as_eof_ok)
			finish(e);
		else
			endpoint_fail(e, "clean end of stream at %s offset %" PRIu64
				      ", but the %s has reset the connection", stream_name(peer),
				      e->received, side_name(peer));
		return;
	}
	if (!atomic_load(&e->flow->fin_sent[peer]))
		endpoint_fail(e, "end of stream at %s offset %" PRIu64 " of %" PRIu64
			      ", but the %s has not half-closed", stream_name(peer), e->received,
			      incoming_total(e), side_name(peer));
	else if (e->received != incoming_total(e))
		endpoint_fail(e, "end of stream at %s offset %" PRIu64 ", but the %s has sent %"
			      PRIu64 " bytes: the last %" PRIu64 " are lost", stream_name(peer),
			      e->received, side_name(peer), incoming_total(e),
			      incoming_total(e) - e->received);
}

static void explain_origin(const struct endpoint *e, uint64_t offset, const struct origin *o,
			   char *text, size_t size)
{
	enum side peer = other(e->side);

	if (o->index != e->flow->index)
		snprintf(text, size, "these are bytes of flow %u, %s offset %" PRIu64, o->index,
			 stream_name(o->from), o->offset);
	else if (o->from != peer)
		snprintf(text, size, "these are bytes of the other direction, offset %" PRIu64,
			 o->offset);
	else if (o->offset > offset)
		snprintf(text, size, "these are the bytes of offset %" PRIu64 ": %" PRIu64
			 " bytes were lost or overtaken", o->offset, o->offset - offset);
	else
		snprintf(text, size, "these are the bytes of offset %" PRIu64 " again", o->offset);
}

static void on_mismatch(struct endpoint *e, const unsigned char *got, const unsigned char *want,
			size_t bad, size_t n)
{
	const struct options *o = e->loop->storm->options;
	unsigned char evidence[EVIDENCE];
	uint64_t offset = e->received + bad;
	size_t have = n - bad < EVIDENCE ? n - bad : EVIDENCE;
	struct origin origin;
	char text[160] = "from nowhere: corrupted";
	ssize_t more;

	memcpy(evidence, got + bad, have);
	more = recv(e->fd, evidence + have, EVIDENCE - have, MSG_PEEK | MSG_DONTWAIT);
	have += more > 0 ? (size_t)more : 0;
	if (stream_locate(o->rules.seed, o->first, o->connections, e->flow->index, evidence, have,
			  &origin))
		explain_origin(e, offset, &origin, text, sizeof(text));
	endpoint_fail(e, "wrong byte at %s offset %" PRIu64 " of %" PRIu64
		      ": expected 0x%02x, got 0x%02x; %s", stream_name(other(e->side)), offset,
		      incoming_total(e), want[bad], got[bad], text);
}

static void on_bytes(struct endpoint *e, size_t n)
{
	unsigned char *got = e->loop->bytes, *want = e->loop->expected;
	struct script *s = script(e);

	stream_fill(&e->in, e->received, want, n);
	if (memcmp(got, want, n)) {
		size_t bad = 0;

		while (got[bad] == want[bad])
			bad++;
		on_mismatch(e, got, want, bad, n);
		return;
	}
	e->received += n;
	atomic_store_explicit(&e->flow->received[e->side], e->received, memory_order_relaxed);
	flow_progress(e->flow, e->loop->now_ms);
	if (e->received > incoming_total(e))
		endpoint_fail(e, "%" PRIu64 " bytes more than the %s sends",
			      e->received - incoming_total(e), side_name(other(e->side)));
	if (s->recv_pause)
		e->recv_wake_ms = e->loop->now_ms + rng_range(&e->rng, 0, s->recv_pause);
}

/* One recv; true when another one may find something. */
static bool receive(struct endpoint *e)
{
	size_t want;
	ssize_t n;

	if (!e->readable || e->held || e->eof || e->loop->now_ms < e->recv_wake_ms)
		return false;
	want = rng_range(&e->rng, script(e)->recv_lo, script(e)->recv_hi);
	n = recv(e->fd, e->loop->bytes, want, 0);
	if (n > 0)
		on_bytes(e, (size_t)n);
	else if (n == 0)
		on_eof(e);
	else if (errno == EAGAIN)
		e->readable = false;
	else if (errno != EINTR)
		on_error(e, "recv", errno);
	return n >= 0 && e->phase == PHASE_RUNNING;
}

static ssize_t send_pieces(struct endpoint *e, unsigned char *buf, size_t len)
{
	struct iovec iov[PIECES];
	int count = 0;

	while (len && count < PIECES) {
		size_t n = count == PIECES - 1 ? len : rng_range(&e->rng, 0, (uint32_t)len);

		iov[count++] = (struct iovec){ buf, n };
		buf += n;
		len -= n;
	}
	return writev(e->fd, iov, count);
}

static void choose_chunk(struct endpoint *e, const struct step *step)
{
	e->chunk_left = step->chunk_hi == UINT32_MAX ?
				e->step_left :
				rng_range(&e->rng, step->chunk_lo, step->chunk_hi);
	if (e->chunk_left > e->step_left)
		e->chunk_left = e->step_left;
	if (e->chunk_left <= SCRATCH)
		return;
	e->big = malloc(e->chunk_left);
	if (!e->big) {
		endpoint_fail(e, "out of memory");
		return;
	}
	e->big_len = e->chunk_left;
	stream_fill(&e->out, e->sent, e->big, e->big_len);
}

static void sent_some(struct endpoint *e, size_t n)
{
	e->writable = n == e->chunk_left;
	e->sent += n;
	e->step_left -= n;
	e->chunk_left -= n;
	if (!e->chunk_left) {
		free(e->big);
		e->big = NULL;
	}
	atomic_store_explicit(&e->flow->sent[e->side], e->sent, memory_order_relaxed);
	flow_progress(e->flow, e->loop->now_ms);
}

/* One write. */
static void send_chunk(struct endpoint *e, const struct step *step)
{
	unsigned char *buf = e->loop->bytes;
	ssize_t n;

	if (!e->writable)
		return;
	if (!e->chunk_left)
		choose_chunk(e, step);
	if (e->phase != PHASE_RUNNING)
		return;
	if (e->big)
		buf = e->big + (e->big_len - e->chunk_left);
	else
		stream_fill(&e->out, e->sent, buf, e->chunk_left);
	n = script(e)->pieces ? send_pieces(e, buf, e->chunk_left) :
				send(e->fd, buf, e->chunk_left, MSG_NOSIGNAL);
	if (n >= 0)
		sent_some(e, (size_t)n);
	else if (errno == EAGAIN)
		e->writable = false;
	else if (errno != EINTR)
		on_error(e, "send", errno);
}

static void half_close(struct endpoint *e)
{
	if (e->shut)
		return;
	e->shut = true;
	atomic_store(&e->flow->fin_sent[e->side], true);
	if (shutdown(e->fd, SHUT_WR))
		on_error(e, "shutdown", errno);
}

static void close_now(struct endpoint *e)
{
	atomic_store(&e->flow->fin_sent[e->side], true);
	finish(e);
}

static void reset_now(struct endpoint *e)
{
	atomic_store(&e->flow->reset_sent[e->side], true);
	endpoint_abort(e);
}

/* Work at one step of the plan; true when it is done. */
static bool step_done(struct endpoint *e, const struct step *step)
{
	switch (step->op) {
	case OP_SEND:
		send_chunk(e, step);
		return !e->step_left;
	case OP_AWAIT:
		return e->received >= step->n;
	case OP_AWAIT_EOF:
		return e->eof;
	case OP_PAUSE:
		return e->loop->now_ms >= e->send_wake_ms;
	case OP_HOLD:
	case OP_RELEASE:
		e->held = step->op == OP_HOLD;
		return true;
	case OP_SHUT:
		half_close(e);
		return true;
	case OP_CLOSE:
		close_now(e);
		return true;
	case OP_RESET:
		reset_now(e);
		return true;
	}
	return true;
}

static bool advance(struct endpoint *e)
{
	const struct step *step = &script(e)->steps[e->step];
	unsigned int before = e->step;
	uint64_t sent = e->sent;

	if (e->step >= script(e)->count) {
		if (e->eof)
			finish(e);
		return false;
	}
	if (!e->in_step) {
		e->in_step = true;
		e->step_left = step->op == OP_SEND ? step->n : 0;
		e->send_wake_ms = step->op == OP_PAUSE ? e->loop->now_ms + step->n : 0;
	}
	if (step_done(e, step) && e->step == before) {
		e->step++;
		e->in_step = false;
	}
	return e->phase == PHASE_RUNNING && (e->step != before || e->sent != sent);
}

static bool run(struct endpoint *e)
{
	bool more = true;

	for (int turn = 0; more && turn < TURNS; turn++) {
		more = receive(e);
		if (e->phase == PHASE_RUNNING)
			more |= advance(e);
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

	atomic_fetch_add(&e->loop->storm->count.hung, 1);
	endpoint_fail(e, "hung; up: %" PRIu64 " of %" PRIu64 " sent%s, %" PRIu64
		      " received; down: %" PRIu64 " of %" PRIu64 " sent%s, %" PRIu64
		      " received; %s the end of the %s stream", atomic_load(&f->sent[CLIENT]),
		      e->plan.script[CLIENT].total, atomic_load(&f->fin_sent[CLIENT]) ? " and FIN" : "",
		      atomic_load(&f->received[SERVER]), atomic_load(&f->sent[SERVER]),
		      e->plan.script[SERVER].total, atomic_load(&f->fin_sent[SERVER]) ? " and FIN" : "",
		      atomic_load(&f->received[CLIENT]), e->eof ? "has seen" : "has not seen",
		      stream_name(other(e->side)));
}

void endpoint_check(struct endpoint *e)
{
	const struct options *o = e->loop->storm->options;
	uint64_t now = e->loop->now_ms;

	if (e->phase == PHASE_OVER)
		return;
	if (e->flow && atomic_load(&e->flow->failed)) {
		endpoint_abort(e);
	} else if (e->phase == PHASE_RUNNING) {
		if (now > atomic_load(&e->flow->progress_ms) + o->timeout_ms)
			hung(e);
	} else if (now > e->born_ms + o->timeout_ms + o->timeout_ms / 2) {
		/* Later than a known flow would: its lateness may be what held this one up. */
		atomic_fetch_add(&e->loop->storm->count.hung, 1);
		endpoint_fail(e, "hung: %s", e->phase == PHASE_CONNECTING ? "connecting" :
			      e->side == CLIENT ? "no greeting came from the server" :
						  "neither a byte nor the end of stream came");
	}
}

enum id_result endpoint_read_id(struct endpoint *e)
{
	while (e->id_have < ID_LEN) {
		ssize_t n;

		if (!e->readable)
			return ID_NONE_YET;
		n = recv(e->fd, e->id + e->id_have, ID_LEN - e->id_have, 0);
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
