/* The writing half of an endpoint: it goes through the steps of the flow's script. */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "loop.h"

#define PIECES 7

static ssize_t send_pieces(struct endpoint *e, unsigned char *buf, size_t len)
{
	struct iovec iov[PIECES];
	int count = 0;

	while (len && count < PIECES) {
		size_t n = count == PIECES - 1 ? len : rng_range(&e->rng, 0, (uint32_t)len);

		iov[count++] = (struct iovec){buf, n};
		buf += n;
		len -= n;
	}
	return e->blocking ? sendmsg(e->fd,
				     &(struct msghdr){.msg_iov = iov, .msg_iovlen = (size_t)count},
				     MSG_NOSIGNAL | MSG_DONTWAIT)
			   : writev(e->fd, iov, count);
}

static void choose_chunk(struct endpoint *e, const struct step *step)
{
	e->chunk_left = step->chunk_hi == UINT32_MAX
				? e->step_left
				: rng_range(&e->rng, step->chunk_lo, step->chunk_hi);
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

static int flags(struct endpoint *e)
{
	return MSG_NOSIGNAL | (e->blocking ? MSG_DONTWAIT : 0) |
	       (rng_percent(&e->rng, endpoint_script(e)->urgent) ? MSG_OOB : 0);
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
	n = endpoint_script(e)->pieces ? send_pieces(e, buf, e->chunk_left)
				       : send(e->fd, buf, e->chunk_left, flags(e));
	if (n > (ssize_t)e->chunk_left)
		endpoint_fail(e, "send of %zu bytes has returned %zd", (size_t)e->chunk_left, n);
	else if (n >= 0)
		sent_some(e, (size_t)n);
	else if (errno == EAGAIN)
		e->writable = false;
	else if (errno != EINTR)
		endpoint_error(e, "send", errno);
}

static void half_close(struct endpoint *e)
{
	if (e->shut)
		return;
	e->shut = true;
	atomic_store(&e->flow->fin_sent[e->side], true);
	if (shutdown(e->fd, SHUT_WR))
		endpoint_error(e, "shutdown", errno);
}

static void close_now(struct endpoint *e)
{
	atomic_store(&e->flow->fin_sent[e->side], true);
	endpoint_finish(e);
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

bool endpoint_advance(struct endpoint *e)
{
	const struct step *step = &endpoint_script(e)->steps[e->step];
	unsigned int before = e->step;
	uint64_t sent = e->sent;

	if (e->step >= endpoint_script(e)->count) {
		if (e->eof)
			endpoint_finish(e);
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
