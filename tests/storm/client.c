#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop.h"

#define SOURCES          16 /* addresses 127.0.0.1.. that connections come from */
#define LATE_PERCENT     10
#define SERVERS_A_CLIENT 4

/*
 * Which server's connection belongs to a silent client can be told only while no connection may be
 * there whose client has vanished, and while no client's first bytes are under way. So the
 * vanishing flows come last (mixed with some others), and the others wait a moment while a silent
 * flow awaits its server.
 */
static bool comes_late(const struct options *o, uint32_t index)
{
	unsigned int kind = plan_kind_of(&o->rules, index);
	struct rng rng = {index};

	if (plan_vanishes(kind))
		return true;
	return plan_opener(kind) == OPENS_CLIENT && rng_percent(&rng, LATE_PERCENT);
}

uint32_t client_silent_flows(const struct options *o)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < o->connections; i++) {
		enum opener opener = plan_opener(plan_kind_of(&o->rules, o->first + i));

		n += opener == OPENS_SERVER || opener == OPENS_EOF;
	}
	return n;
}

static bool is_silent(enum opener opener)
{
	return opener == OPENS_SERVER || opener == OPENS_EOF;
}

/* The next flow in the order of starting: first those that come early, then the late ones. */
static bool next_flow(struct storm *s, uint32_t *index)
{
	const struct options *o = s->options;
	unsigned long long n = o->connections, at;

	while ((at = atomic_fetch_add(&s->next, 1)) < 2 * n) {
		*index = o->first + (uint32_t)(at % n);
		if (comes_late(o, *index) == (at >= n))
			return true;
	}
	return false;
}

static bool may_start(struct loop *l, uint32_t index)
{
	struct storm *s = l->storm;
	unsigned int kind = plan_kind_of(&s->options->rules, index);

	if (plan_vanishes(kind))
		return !atomic_load(&s->silent_left);
	return plan_opener(kind) == OPENS_SERVER || pool_empty(&s->silent);
}

static bool is_loopback4(const struct address *a)
{
	const struct sockaddr_in *in4 = (const struct sockaddr_in *)&a->sa;

	return in4->sin_family == AF_INET && ntohl(in4->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* Connections in TIME_WAIT occupy ports: spread them over many addresses where there are many. */
static int bind_address(int fd, uint32_t index)
{
	struct sockaddr_in source = {.sin_family = AF_INET};
	int one = 1;

	source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + index % SOURCES);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(fd, (struct sockaddr *)&source, sizeof(source)) ? -errno : 0;
}

static int open_connection(const struct options *o, uint32_t index, int rcvbuf)
{
	const struct address *to = &o->connect;
	struct rng rng = {~(uint64_t)index};
	int nonblock = rng_percent(&rng, o->blocking) ? 0 : SOCK_NONBLOCK;
	int fd = socket(to->sa.ss_family, SOCK_STREAM | nonblock | SOCK_CLOEXEC, 0);
	int one = 1, error = 0;

	if (fd < 0)
		return -errno;
	if (plan_has_urgent(&o->rules))
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	if (rcvbuf)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
	if (is_loopback4(to))
		error = bind_address(fd, index);
	if (!error && connect(fd, (const struct sockaddr *)&to->sa, to->len) &&
	    errno != EINPROGRESS)
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}

static void withdraw(struct storm *s, struct flow *f)
{
	unsigned int kind = plan_kind_of(&s->options->rules, f->index);

	if (!plan_vanishes(kind) && flow_claim(f, CLAIM_WAITING, CLAIM_SERVER) &&
	    plan_opener(kind) != OPENS_SERVER)
		atomic_fetch_sub(&s->unclaimed, 1);
}

/* A silent client failed: any flow of its kind that no server has taken up yet is as good as its.
 */
static struct flow *disown(struct storm *s, enum opener opener)
{
	uint32_t index;

	if (!pool_take(opener == OPENS_EOF ? &s->half_closed : &s->silent, &index))
		return NULL;
	return storm_flow(s, index);
}

static int rcvbuf_of(const struct options *o, uint32_t index)
{
	struct plan plan;
	int rcvbuf;

	plan_build(&plan, &o->rules, index);
	rcvbuf = plan.script[CLIENT].rcvbuf;
	plan_free(&plan);
	return rcvbuf;
}

/* Before connect: the server must never meet a connection that was not announced. */
static void announce(struct storm *s, struct flow *f)
{
	unsigned int kind = plan_kind_of(&s->options->rules, f->index);
	enum opener opener = plan_opener(kind);

	atomic_store(&f->started_ms, now_ms());
	atomic_store(&f->claim, CLAIM_WAITING);
	if (opener == OPENS_SERVER) {
		pool_put(&s->silent, f->index);
		return;
	}
	if (!plan_vanishes(kind))
		atomic_fetch_add(&s->unclaimed, 1);
	if (opener == OPENS_EOF)
		pool_put(&s->half_closed, f->index);
}

static void start_failed(struct storm *s, struct flow *f, enum opener opener, int error)
{
	if (is_silent(opener)) {
		atomic_fetch_sub(&s->silent_left, 1);
		f = disown(s, opener);
	}
	if (!f)
		return;
	flow_fail(s, f, "client", "connect: %s", strerror(-error));
	withdraw(s, f);
}

/* False when no port is free just now: it has to be tried again. */
static bool start(struct loop *l, uint32_t index)
{
	struct storm *s = l->storm;
	struct flow *f = storm_flow(s, index);
	enum opener opener = plan_opener(plan_kind_of(&s->options->rules, index));
	int rcvbuf = is_silent(opener) ? 0 : rcvbuf_of(s->options, index);
	int fd = open_connection(s->options, index, rcvbuf);
	struct endpoint *e = fd < 0 ? NULL : loop_add(l, fd);

	if (fd == -EADDRNOTAVAIL && l->now_ms < f->started_ms + s->options->timeout_ms)
		return false;
	if (!e) {
		start_failed(s, f, opener, fd < 0 ? fd : -ENOMEM);
		return true;
	}
	e->opener = opener;
	if (!is_silent(opener))
		e->flow = f;
	flow_progress(f, l->now_ms);
	return true;
}

static bool is_exhausted(struct loop *l)
{
	if (!l->exhausted && !l->has_pending)
		l->has_pending = next_flow(l->storm, &l->pending);
	if (!l->exhausted && (!l->has_pending || storm_gives_up(l->storm))) {
		l->exhausted = true;
		atomic_fetch_sub(&l->storm->starters, 1);
	}
	return l->exhausted;
}

void client_start_flows(struct loop *l)
{
	struct storm *s = l->storm;
	const struct options *o = s->options;

	while (!is_exhausted(l)) {
		if (atomic_load(&s->clients) >= o->concurrency ||
		    atomic_load(&s->servers) >= o->concurrency * SERVERS_A_CLIENT)
			return;
		l->waiting = true;
		if (!l->announced) {
			if (!may_start(l, l->pending))
				return;
			announce(s, storm_flow(s, l->pending));
			l->announced = true;
		}
		if (!start(l, l->pending))
			return;
		l->announced = l->has_pending = false;
	}
}

bool client_connected(struct endpoint *e)
{
	struct storm *s = e->loop->storm;
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		atomic_fetch_add(&s->count.refused, 1);
		endpoint_fail(e, "connect: %s", strerror(error));
		return false;
	}
	if (e->flow) {
		endpoint_begin(e, e->flow, 0);
		return true;
	}
	e->phase = PHASE_ANONYMOUS;
	if (e->opener == OPENS_EOF) {
		e->shut = true;
		if (shutdown(e->fd, SHUT_WR))
			endpoint_fail(e, "shutdown: %s", strerror(errno));
	}
	return true;
}

static void adopt(struct endpoint *e)
{
	struct storm *s = e->loop->storm;
	int64_t index = stream_parse_id(s->options->rules.seed, e->id);
	struct flow *f = index < 0 ? NULL : storm_flow(s, (uint32_t)index);

	if (!f || plan_opener(plan_kind_of(&s->options->rules, f->index)) != e->opener ||
	    !flow_claim(f, CLAIM_SERVER, CLAIM_BOTH)) {
		endpoint_fail(e, "the first %d bytes are no greeting to a silent client", ID_LEN);
		return;
	}
	atomic_fetch_sub(&s->silent_left, 1);
	if (e->shut)
		atomic_store(&f->fin_sent[CLIENT], true);
	endpoint_begin(e, f, ID_LEN);
}

/* A silent client: the server's first bytes tell which flow this is. */
bool client_identify(struct endpoint *e)
{
	switch (endpoint_read_id(e)) {
	case ID_NONE_YET:
		return false;
	case ID_COMPLETE:
		adopt(e);
		return e->phase == PHASE_RUNNING;
	case ID_EOF:
		endpoint_fail(e, "end of stream after %zu bytes of the server's greeting",
			      e->id_have);
		return false;
	case ID_ERROR:
		endpoint_fail(e, "%s before the server's greeting", strerror(errno));
	}
	return false;
}

void client_failed(struct endpoint *e)
{
	struct storm *s = e->loop->storm;

	if (e->flow)
		return;
	e->flow = disown(s, e->opener);
	atomic_fetch_sub(&s->silent_left, 1);
}

void client_ended(struct endpoint *e)
{
	atomic_fetch_sub(&e->loop->storm->clients, 1);
	if (!e->flow)
		return;
	if (atomic_load(&e->flow->failed))
		withdraw(e->loop->storm, e->flow);
	atomic_store(&e->flow->done[CLIENT], true);
}
