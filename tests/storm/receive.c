/* The reading half of an endpoint: every byte and every end of stream is judged here. */

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "loop.h"

#define EVIDENCE 32 /* bytes after a wrong one, to tell where they come from */

static void on_eof(struct endpoint *e)
{
	struct storm *s = e->loop->storm;
	enum side peer = other(e->side);

	e->eof = true;
	flow_progress(e->flow, e->loop->now_ms);
	if (e->reset_seen) {
		endpoint_reset_arrived(e);
		return;
	}
	if (atomic_load(&e->flow->reset_sent[peer])) {
		atomic_fetch_add(&s->count.resets_as_eof, 1);
		if (s->options->reset_as_eof_ok)
			endpoint_finish(e);
		else
			endpoint_fail(e,
				      "clean end of stream at %s offset %" PRIu64
				      ", but the %s has reset the connection",
				      stream_name(peer), e->received, side_name(peer));
		return;
	}
	if (!atomic_load(&e->flow->fin_sent[peer]))
		endpoint_fail(e,
			      "end of stream at %s offset %" PRIu64 " of %" PRIu64
			      ", but the %s has not half-closed",
			      stream_name(peer), e->received, endpoint_incoming(e),
			      side_name(peer));
	else if (e->received != endpoint_incoming(e))
		endpoint_fail(e,
			      "end of stream at %s offset %" PRIu64 ", but the %s has sent %" PRIu64
			      " bytes: the last %" PRIu64 " are lost",
			      stream_name(peer), e->received, side_name(peer), endpoint_incoming(e),
			      endpoint_incoming(e) - e->received);
}

static void explain_origin(const struct endpoint *e, uint64_t offset, const struct origin *o,
			   char *text, size_t size)
{
	enum side peer = other(e->side);

	if (o->is_id)
		snprintf(text, size, "these are the first bytes of flow %u", o->index);
	else if (o->index != e->flow->index)
		snprintf(text, size, "these are bytes of flow %u, %s offset %" PRIu64, o->index,
			 stream_name(o->from), o->offset);
	else if (o->from != peer)
		snprintf(text, size, "these are bytes of the other direction, offset %" PRIu64,
			 o->offset);
	else if (o->offset == offset)
		snprintf(text, size, "corrupted, but what follows is right");
	else if (o->offset > offset)
		snprintf(text, size,
			 "these are the bytes of offset %" PRIu64 ": %" PRIu64
			 " bytes were lost or overtaken",
			 o->offset, o->offset - offset);
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
	endpoint_fail(e,
		      "wrong byte at %s offset %" PRIu64 " of %" PRIu64
		      ": expected 0x%02x, got 0x%02x; %s",
		      stream_name(other(e->side)), offset, endpoint_incoming(e), want[bad],
		      got[bad], text);
}

static void on_bytes(struct endpoint *e, size_t n)
{
	unsigned char *got = e->loop->bytes, *want = e->loop->expected;
	const struct script *s = endpoint_script(e);

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
	if (e->received > endpoint_incoming(e))
		endpoint_fail(e, "%" PRIu64 " bytes more than the %s sends",
			      e->received - endpoint_incoming(e), side_name(other(e->side)));
	if (s->recv_pause)
		e->recv_wake_ms = e->loop->now_ms + rng_range(&e->rng, 0, s->recv_pause);
}

ssize_t endpoint_recv(struct endpoint *e, void *buf, size_t len)
{
	struct pollfd ready = {.fd = e->fd, .events = POLLIN};
	ssize_t n;

	if (!e->blocking)
		return recv(e->fd, buf, len, 0);
	if (poll(&ready, 1, 0) != 1) {
		errno = EAGAIN;
		return -1;
	}
	n = recv(e->fd, buf, len, 0);
	if (n < 0 && errno == EAGAIN)
		errno = EBADE; /* a failure, told from the one above */
	return n;
}

bool endpoint_receive(struct endpoint *e)
{
	size_t want;
	ssize_t n;

	if (!e->readable || e->held || e->eof || e->loop->now_ms < e->recv_wake_ms)
		return false;
	want = rng_range(&e->rng, endpoint_script(e)->recv_lo, endpoint_script(e)->recv_hi);
	n = endpoint_recv(e, e->loop->bytes, want);
	if (n > (ssize_t)want)
		endpoint_fail(e, "recv of %zu bytes has returned %zd", want, n);
	else if (n > 0)
		on_bytes(e, (size_t)n);
	else if (n == 0)
		on_eof(e);
	else if (errno == EAGAIN)
		e->readable = false;
	else if (errno != EINTR)
		endpoint_error(e, "recv", errno);
	return n >= 0 && e->phase == PHASE_RUNNING;
}
