#include "kinds.h"

#include <stdio.h>
#include <stdlib.h>

#define KIB 1024u
#define MIB (1024u * KIB)

/* How a run of bytes is cut into writes. */
struct chunks {
	uint32_t lo, hi;
};

static const struct chunks TINY = {1, 64};
static const struct chunks PAGE = {4096, 4096};
static const struct chunks WHOLE = {UINT32_MAX, UINT32_MAX};

static struct step *add(struct builder *b, enum side who, enum op op, uint64_t n)
{
	struct script *s = &b->plan->script[who];

	if (s->count == s->capacity) {
		s->capacity = s->capacity ? s->capacity * 2 : 16;
		s->steps = realloc(s->steps, s->capacity * sizeof(*s->steps));
		if (!s->steps) {
			perror("storm: plan");
			abort();
		}
	}
	s->steps[s->count] = (struct step){.op = op, .n = n};
	return &s->steps[s->count++];
}

static uint32_t size(struct builder *b, uint32_t lo, uint32_t hi)
{
	double n = rng_log(&b->rng, lo, hi) * b->scale;

	return n < 1 ? 1 : n > 1024.0 * MIB ? 1024 * MIB : (uint32_t)n;
}

static bool speaks_first(const struct plan *p, enum side who)
{
	return who == (p->opener == OPENS_CLIENT ? CLIENT : SERVER);
}

static void say(struct builder *b, enum side who, uint32_t n, struct chunks chunks)
{
	struct script *s = &b->plan->script[who];
	struct step *step;

	if (s->total == 0 && speaks_first(b->plan, who))
		n += ID_LEN;
	step = add(b, who, OP_SEND, n);
	step->chunk_lo = chunks.lo;
	step->chunk_hi = chunks.hi;
	s->total += n;
}

/* Wait for all that the other end has been told to say so far. */
static void hear(struct builder *b, enum side who)
{
	add(b, who, OP_AWAIT, b->plan->script[other(who)].total);
}

static void rest(struct builder *b, enum side who, uint32_t lo, uint32_t hi)
{
	add(b, who, OP_PAUSE, rng_range(&b->rng, lo, hi));
}

static void shut(struct builder *b, enum side who)
{
	add(b, who, OP_SHUT, 0);
}

static void reset(struct builder *b, enum side who)
{
	b->plan->resets = true;
	b->plan->resetter = who;
	add(b, who, OP_RESET, 0);
}

static enum side either(struct builder *b)
{
	return rng_percent(&b->rng, 50) ? CLIENT : SERVER;
}

static struct chunks any_chunks(struct builder *b)
{
	switch (rng_range(&b->rng, 0, 4)) {
	case 0:
		return (struct chunks){1, 2 * 16 * KIB};
	case 1:
		return (struct chunks){1448, 1448};
	case 2:
		return (struct chunks){16 * KIB, 16 * KIB};
	case 3:
		return (struct chunks){1000, 100000};
	default:
		return (struct chunks){64 * KIB, 64 * KIB};
	}
}

/* The client must be the first to speak, if only to say who it is. */
static void knock(struct builder *b)
{
	if (b->plan->opener == OPENS_CLIENT && !b->plan->script[CLIENT].total)
		say(b, CLIENT, size(b, 1, 256), WHOLE);
}

static void volley(struct builder *b, enum side first, uint32_t rounds)
{
	while (rounds--) {
		say(b, first, rng_log(&b->rng, 1, 16 * KIB), WHOLE);
		hear(b, other(first));
		say(b, other(first), rng_log(&b->rng, 1, 16 * KIB), WHOLE);
		hear(b, first);
	}
}

/* One end half-closes, the other one when it has seen that. */
static void part(struct builder *b, enum side first)
{
	shut(b, first);
	add(b, other(first), OP_AWAIT_EOF, 0);
	shut(b, other(first));
}

static void ping_pong(struct builder *b)
{
	volley(b, CLIENT, rng_log(&b->rng, 1, 200));
	part(b, either(b));
}

static void bulk(struct builder *b, enum side who)
{
	knock(b);
	say(b, who, size(b, 4 * KIB, MIB), any_chunks(b));
	shut(b, who);
	add(b, other(who), OP_AWAIT_EOF, 0);
	say(b, other(who), size(b, 1, 100), WHOLE);
	shut(b, other(who));
}

static void bulk_up(struct builder *b)
{
	bulk(b, CLIENT);
}

static void bulk_down(struct builder *b)
{
	bulk(b, SERVER);
}

static void duplex(struct builder *b)
{
	for (enum side who = CLIENT; who <= SERVER; who++) {
		say(b, who, size(b, 4 * KIB, 512 * KIB), any_chunks(b));
		if (rng_percent(&b->rng, 30))
			rest(b, who, 1, 20);
		shut(b, who);
	}
}

static void small_writes(struct builder *b, uint32_t lo, uint32_t hi, struct chunks chunks)
{
	enum side who = either(b);

	knock(b);
	say(b, who, size(b, lo, hi), chunks);
	if (rng_percent(&b->rng, 40))
		say(b, other(who), size(b, lo, hi), chunks);
	shut(b, CLIENT);
	shut(b, SERVER);
	b->plan->script[CLIENT].nodelay = b->plan->script[SERVER].nodelay = true;
}

static void tiny_writes(struct builder *b)
{
	small_writes(b, 64, 16 * KIB, TINY);
}

static void page_writes(struct builder *b)
{
	small_writes(b, 4 * KIB, 512 * KIB, PAGE);
}

static void huge_write(struct builder *b)
{
	enum side who = either(b);

	knock(b);
	say(b, who, size(b, MIB, 4 * MIB), WHOLE);
	if (rng_percent(&b->rng, 30))
		say(b, other(who), size(b, MIB, 2 * MIB), WHOLE);
	part(b, who);
}

static void half_close(struct builder *b, enum side first)
{
	knock(b);
	hear(b, SERVER);
	say(b, first, size(b, 1, 64 * KIB), any_chunks(b));
	shut(b, first);
	add(b, other(first), OP_AWAIT_EOF, 0);
	if (rng_percent(&b->rng, 20))
		rest(b, other(first), 1, 50);
	for (uint32_t parts = rng_range(&b->rng, 1, 3); parts; parts--)
		say(b, other(first), size(b, 1, 512 * KIB), any_chunks(b));
	/* All has been read and all is sent: a plain close is as good as a half-close. */
	add(b, other(first), rng_percent(&b->rng, 50) ? OP_SHUT : OP_CLOSE, 0);
}

static void client_half_close(struct builder *b)
{
	half_close(b, CLIENT);
}

static void server_half_close(struct builder *b)
{
	half_close(b, SERVER);
}

static void both_half_close(struct builder *b)
{
	for (enum side who = CLIENT; who <= SERVER; who++) {
		say(b, who, size(b, 1, 8 * KIB), WHOLE);
		shut(b, who);
	}
}

static void send_close(struct builder *b)
{
	say(b, CLIENT, size(b, 1, 256 * KIB), rng_percent(&b->rng, 50) ? WHOLE : any_chunks(b));
	add(b, CLIENT, OP_CLOSE, 0);
	add(b, SERVER, OP_AWAIT_EOF, 0);
	shut(b, SERVER);
}

static void empty_half_close(struct builder *b)
{
	shut(b, CLIENT);
	say(b, SERVER, size(b, 1, 256 * KIB), any_chunks(b));
	add(b, SERVER, rng_percent(&b->rng, 50) ? OP_SHUT : OP_CLOSE, 0);
}

static void server_first(struct builder *b)
{
	say(b, SERVER, size(b, 1, 4 * KIB), WHOLE);
	hear(b, CLIENT);
	volley(b, CLIENT, rng_log(&b->rng, 1, 20));
	part(b, either(b));
}

static void server_burst(struct builder *b)
{
	say(b, SERVER, size(b, 1, 256 * KIB), rng_percent(&b->rng, 50) ? WHOLE : any_chunks(b));
	add(b, SERVER, OP_CLOSE, 0);
	add(b, CLIENT, OP_AWAIT_EOF, 0);
	shut(b, CLIENT);
}

static void slow_reader(struct builder *b, enum side reader)
{
	struct script *s = &b->plan->script[reader];

	knock(b);
	add(b, reader, OP_HOLD, 0);
	rest(b, reader, 20, 200);
	add(b, reader, OP_RELEASE, 0);
	say(b, other(reader), size(b, MIB, 3 * MIB), any_chunks(b));
	if (rng_percent(&b->rng, 50))
		say(b, reader, size(b, 1, 64 * KIB), any_chunks(b));
	shut(b, CLIENT);
	shut(b, SERVER);
	/*
	 * A server learns only after accept that this is to be a slow one. Less than the window
	 * that it has offered already would make TCP drop bytes, and wait for many seconds.
	 */
	s->rcvbuf = (int)rng_log(&b->rng, (reader == CLIENT ? 16 : 64) * KIB, 256 * KIB);
	s->recv_lo = 8 * KIB;
	s->recv_hi = 128 * KIB;
	s->recv_pause = 8;
}

static void slow_client(struct builder *b)
{
	slow_reader(b, CLIENT);
}

static void slow_server(struct builder *b)
{
	slow_reader(b, SERVER);
}

/*
 * The client reads nothing before it has sent all; what comes meanwhile must fit the socket buffers
 * of any proxy, or the test itself would be the dead-lock.
 */
static void upload_first(struct builder *b)
{
	bool stubborn = rng_percent(&b->rng, 50);

	add(b, CLIENT, OP_HOLD, 0);
	say(b, CLIENT, size(b, 16 * KIB, MIB), any_chunks(b));
	shut(b, CLIENT);
	add(b, CLIENT, OP_RELEASE, 0);

	if (stubborn)
		add(b, SERVER, OP_HOLD, 0);
	say(b, SERVER, rng_log(&b->rng, 4 * KIB, 64 * KIB), any_chunks(b));
	if (stubborn)
		add(b, SERVER, OP_RELEASE, 0);
	for (uint32_t stops = rng_range(&b->rng, 0, 3); stops; stops--) {
		add(b, SERVER, OP_HOLD, 0);
		rest(b, SERVER, 1, 30);
		add(b, SERVER, OP_RELEASE, 0);
		rest(b, SERVER, 1, 10);
	}
	shut(b, SERVER);
}

/*
 * More than any buffers hold, beside a way down on which every buffer is full. The server goes on
 * reading whatever it has to send, so neither direction has to wait for the other. Only by --only:
 * where a size is set for a receive buffer, TCP drops what does not fit, and acknowledgements with
 * it.
 */
static void upload_past(struct builder *b)
{
	add(b, CLIENT, OP_HOLD, 0);
	say(b, CLIENT, size(b, 8 * MIB, 16 * MIB), any_chunks(b));
	shut(b, CLIENT);
	add(b, CLIENT, OP_RELEASE, 0);
	add(b, SERVER, OP_HOLD, 0);
	rest(b, SERVER, 20, 200);
	add(b, SERVER, OP_RELEASE, 0);
	say(b, SERVER, size(b, 512 * KIB, 4 * MIB), any_chunks(b));
	shut(b, SERVER);
}

/*
 * The resetter has never half-closed, so the other end must not see an end of stream; that one may
 * be reading, writing, or have half-closed itself.
 */
static void mid_reset(struct builder *b, enum side who)
{
	knock(b);
	hear(b, SERVER);
	say(b, SERVER, size(b, 1, 4 * KIB), WHOLE);
	hear(b, CLIENT); /* now each end knows that the other one is there */
	if (rng_percent(&b->rng, 60))
		say(b, who, size(b, 1, 512 * KIB), any_chunks(b));
	if (rng_percent(&b->rng, 40))
		rest(b, who, 0, 20);
	reset(b, who);
	if (rng_percent(&b->rng, 50))
		say(b, other(who), size(b, 1, MIB), any_chunks(b));
	if (rng_percent(&b->rng, 20))
		shut(b, other(who));
}

static void client_reset(struct builder *b)
{
	mid_reset(b, CLIENT);
}

static void server_reset(struct builder *b)
{
	mid_reset(b, SERVER);
}

static void early_reset(struct builder *b)
{
	say(b, CLIENT, size(b, 1, 16 * KIB), WHOLE);
	if (rng_percent(&b->rng, 60))
		rest(b, CLIENT, 0, 3);
	reset(b, CLIENT);
	if (rng_percent(&b->rng, 30))
		say(b, SERVER, size(b, 1, 64 * KIB), any_chunks(b));
}

static void empty_close(struct builder *b)
{
	if (rng_percent(&b->rng, 30))
		rest(b, CLIENT, 0, 3);
	add(b, CLIENT, OP_CLOSE, 0);
}

static void phase(struct builder *b)
{
	enum side who = either(b);

	switch (rng_range(&b->rng, 0, 2)) {
	case 0:
		volley(b, who, rng_log(&b->rng, 1, 60));
		break;
	case 1:
		say(b, who, size(b, 16 * KIB, 512 * KIB), any_chunks(b));
		break;
	default:
		say(b, who, size(b, 4 * KIB, 256 * KIB), PAGE);
	}
	/* The next phase begins in step, or while this one's bytes are still under way. */
	if (rng_percent(&b->rng, 70)) {
		hear(b, CLIENT);
		hear(b, SERVER);
	}
	if (rng_percent(&b->rng, 60))
		rest(b, CLIENT, 1, 50);
}

static void switching(struct builder *b)
{
	knock(b);
	for (uint32_t phases = rng_range(&b->rng, 2, 5); phases; phases--)
		phase(b);
	part(b, either(b));
}

/*
 * Urgent bytes stay where they stand in the stream: both ends have SO_OOBINLINE. Whoever reads
 * meets a mark there at which recv() stops, and splice(2) does not get past it.
 */
static void urgent(struct builder *b)
{
	enum side who = either(b);

	for (enum side side = CLIENT; side <= SERVER; side++)
		b->plan->script[side].urgent = rng_range(&b->rng, 1, 60);
	if (rng_percent(&b->rng, 50))
		volley(b, CLIENT, 20);
	knock(b);
	say(b, who, size(b, 1, 512 * KIB), any_chunks(b));
	if (rng_percent(&b->rng, 40))
		say(b, other(who), size(b, 1, 512 * KIB), any_chunks(b));
	if (rng_percent(&b->rng, 30))
		rest(b, who, 1, 50);
	shut(b, CLIENT);
	shut(b, SERVER);
}

static void long_idle(struct builder *b)
{
	enum side who = either(b);

	volley(b, CLIENT, rng_range(&b->rng, 1, 3));
	rest(b, who, 200, 1000);
	say(b, who, size(b, 1, 128 * KIB), any_chunks(b));
	hear(b, other(who));
	volley(b, other(who), rng_range(&b->rng, 0, 3));
	part(b, either(b));
}

const struct kind kinds[] = {
	/* clang-format off */
	{ "both-half-close",	12,	OPENS_CLIENT,	false,	both_half_close },
	{ "bulk-down",		14,	OPENS_CLIENT,	false,	bulk_down },
	{ "bulk-up",		14,	OPENS_CLIENT,	false,	bulk_up },
	{ "client-half-close",	14,	OPENS_CLIENT,	false,	client_half_close },
	{ "client-reset",	8,	OPENS_CLIENT,	false,	client_reset },
	{ "duplex",		12,	OPENS_CLIENT,	false,	duplex },
	{ "early-reset",	6,	OPENS_CLIENT,	true,	early_reset },
	{ "empty-close",	4,	OPENS_NOTHING,	true,	empty_close },
	{ "empty-half-close",	8,	OPENS_EOF,	false,	empty_half_close },
	{ "huge-write",		1,	OPENS_CLIENT,	false,	huge_write },
	{ "long-idle",		2,	OPENS_CLIENT,	false,	long_idle },
	{ "page-writes",	12,	OPENS_CLIENT,	false,	page_writes },
	{ "ping-pong",		24,	OPENS_CLIENT,	false,	ping_pong },
	{ "send-close",		14,	OPENS_CLIENT,	false,	send_close },
	{ "server-burst",	10,	OPENS_SERVER,	false,	server_burst },
	{ "server-first",	10,	OPENS_SERVER,	false,	server_first },
	{ "server-half-close",	14,	OPENS_CLIENT,	false,	server_half_close },
	{ "server-reset",	8,	OPENS_CLIENT,	false,	server_reset },
	{ "slow-client",	1,	OPENS_CLIENT,	false,	slow_client },
	{ "slow-server",	1,	OPENS_CLIENT,	false,	slow_server },
	{ "switching",		10,	OPENS_CLIENT,	false,	switching },
	{ "tiny-writes",	12,	OPENS_CLIENT,	false,	tiny_writes },
	{ "upload-first",	6,	OPENS_CLIENT,	false,	upload_first },
	{ "upload-past",	0,	OPENS_CLIENT,	false,	upload_past },
	{ "urgent",		8,	OPENS_CLIENT,	false,	urgent },
	/* clang-format on */
};

const unsigned int kind_count = sizeof(kinds) / sizeof(kinds[0]);
