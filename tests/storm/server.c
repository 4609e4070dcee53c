#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"

#define BACKLOG 4096

int server_listen(const struct options *o, int *out)
{
	int fd = socket(o->listen.sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (plan_has_urgent(&o->rules)) /* accepted sockets inherit it */
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	if (bind(fd, (const struct sockaddr *)&o->listen.sa, o->listen.len) ||
	    listen(fd, BACKLOG)) {
		int error = -errno;

		close(fd);
		return error;
	}
	*out = fd;
	return 0;
}

void server_accept(struct loop *l)
{
	for (;;) {
		bool blocking = rng_percent(&l->rng, l->storm->options->blocking);
		int fd = accept4(l->listener, NULL, NULL,
				 (blocking ? 0 : SOCK_NONBLOCK) | SOCK_CLOEXEC);

		if (fd >= 0)
			loop_add(l, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

static bool begin(struct endpoint *e, struct flow *f, size_t received)
{
	struct storm *s = e->loop->storm;
	unsigned int kind = plan_kind_of(&s->options->rules, f->index);

	if (!flow_claim(f, CLAIM_WAITING, CLAIM_SERVER)) {
		/* A flow that has failed already was withdrawn: no second complaint. */
		if (atomic_load(&f->failed))
			endpoint_abort(e);
		else
			endpoint_fail(e, "a second connection of flow %u", f->index);
		return false;
	}
	if (plan_opener(kind) != OPENS_SERVER && !plan_vanishes(kind))
		atomic_fetch_sub(&s->unclaimed, 1);
	endpoint_begin(e, f, received);
	return true;
}

static bool recognize(struct endpoint *e)
{
	struct storm *s = e->loop->storm;
	int64_t index = stream_parse_id(s->options->rules.seed, e->id);
	struct flow *f = index < 0 ? NULL : storm_flow(s, (uint32_t)index);

	if (!f) {
		endpoint_fail(e, "the first %d bytes name no flow: corrupted or foreign", ID_LEN);
		return false;
	}
	return begin(e, f, ID_LEN);
}

static bool eof_first(struct endpoint *e)
{
	struct storm *s = e->loop->storm;
	uint32_t index;

	if (!e->id_have && pool_take(&s->half_closed, &index)) {
		e->eof = true;
		return begin(e, storm_flow(s, index), 0);
	}
	if (!e->id_have || s->options->reset_as_eof_ok) {
		/* An empty connection; whether there are too many of these is judged at the end. */
		atomic_fetch_add(&s->count.anonymous_eofs, 1);
		e->phase = PHASE_OVER;
	} else {
		endpoint_fail(e, "end of stream after %zu of the first %d bytes", e->id_have,
			      ID_LEN);
	}
	return false;
}

static bool greet(struct endpoint *e)
{
	uint32_t index;

	return pool_take(&e->loop->storm->silent, &index) &&
	       begin(e, storm_flow(e->loop->storm, index), 0);
}

bool server_identify(struct endpoint *e)
{
	struct storm *s = e->loop->storm;
	/* With no first bytes under way, a connection without any is a silent client's. */
	bool may_greet = !atomic_load(&s->unclaimed) && !e->id_have && !pool_empty(&s->silent);

	e->readable |= may_greet; /* they may have arrived without epoll having told yet */
	switch (endpoint_read_id(e)) {
	case ID_NONE_YET:
		e->loop->waiting = true;
		return may_greet && !e->id_have && greet(e);
	case ID_COMPLETE:
		return recognize(e);
	case ID_EOF:
		return eof_first(e);
	case ID_ERROR:
		atomic_fetch_add(&s->count.anonymous_errors, 1);
		e->phase = PHASE_OVER;
	}
	return false;
}

void server_ended(struct endpoint *e)
{
	atomic_fetch_sub(&e->loop->storm->servers, 1);
	if (e->flow)
		atomic_store(&e->flow->done[SERVER], true);
}
