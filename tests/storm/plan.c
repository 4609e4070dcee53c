#include "plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds.h"
#include "rng.h"

unsigned int plan_kinds(void)
{
	return kind_count;
}

const char *plan_kind_name(unsigned int kind)
{
	return kinds[kind].name;
}

int plan_kind_by_name(const char *name)
{
	for (unsigned int i = 0; i < kind_count; i++) {
		if (!strcmp(kinds[i].name, name))
			return (int)i;
	}
	return -1;
}

enum opener plan_opener(unsigned int kind)
{
	return kinds[kind].opener;
}

bool plan_vanishes(unsigned int kind)
{
	return kinds[kind].vanishes;
}

static struct rng flow_rng(const struct plan_rules *rules, uint32_t index, uint64_t purpose)
{
	return (struct rng){mix64(rules->seed ^ mix64(index * 4ULL + purpose))};
}

static unsigned int weight(const struct plan_rules *rules, unsigned int kind)
{
	return rules->except >> kind & 1 ? 0 : kinds[kind].weight;
}

bool plan_has_urgent(const struct plan_rules *rules)
{
	return weight(rules, (unsigned int)plan_kind_by_name("urgent"));
}

unsigned int plan_kind_of(const struct plan_rules *rules, uint32_t index)
{
	struct rng rng = flow_rng(rules, index, 0);
	unsigned int all = 0, pick, kind = 0;

	if (rules->only >= 0)
		return (unsigned int)rules->only;
	for (unsigned int i = 0; i < kind_count; i++)
		all += weight(rules, i);
	pick = rng_range(&rng, 0, all - 1);
	while (pick >= weight(rules, kind))
		pick -= weight(rules, kind++);
	return kind;
}

static void reading_habits(struct builder *b, struct script *s, uint64_t incoming)
{
	static const struct {
		uint32_t lo, hi;
	} habits[] = {
		{256 * 1024, 256 * 1024},
		{16 * 1024, 16 * 1024},
		{1, 64 * 1024},
		{1, 200},
	};
	uint32_t pick = rng_range(&b->rng, 0, 3);

	if (incoming > 128 * 1024 && pick == 3)
		pick = 0; /* a million system calls find nothing more */
	s->pieces = rng_percent(&b->rng, 25) && !s->urgent;
	s->nodelay |= rng_percent(&b->rng, 50);
	if (s->recv_hi)
		return;
	s->recv_lo = habits[pick].lo;
	s->recv_hi = habits[pick].hi;
}

void plan_build(struct plan *p, const struct plan_rules *rules, uint32_t index)
{
	struct builder b = {
		.plan = p,
		.rng = flow_rng(rules, index, 1),
		.scale = rules->scale,
	};

	memset(p, 0, sizeof(*p));
	p->kind = plan_kind_of(rules, index);
	p->opener = kinds[p->kind].opener;
	kinds[p->kind].build(&b);
	for (enum side who = CLIENT; who <= SERVER; who++)
		reading_habits(&b, &p->script[who], p->script[other(who)].total);
}

void plan_free(struct plan *p)
{
	free(p->script[CLIENT].steps);
	free(p->script[SERVER].steps);
	memset(p, 0, sizeof(*p));
}

static const char *const op_names[] = {
	[OP_SEND] = "send bytes",
	[OP_AWAIT] = "await bytes in all",
	[OP_AWAIT_EOF] = "await the end of stream",
	[OP_PAUSE] = "pause ms",
	[OP_HOLD] = "stop reading",
	[OP_RELEASE] = "go on reading",
	[OP_SHUT] = "half-close",
	[OP_CLOSE] = "close",
	[OP_RESET] = "reset",
};

static void print_step(const struct step *step)
{
	printf("  %-22s %10" PRIu64, op_names[step->op], step->n);
	if (step->op == OP_SEND && step->chunk_hi == UINT32_MAX)
		printf(" in one write");
	else if (step->op == OP_SEND)
		printf(" in writes of %" PRIu32 "..%" PRIu32, step->chunk_lo, step->chunk_hi);
	putchar('\n');
}

void plan_print(const struct plan *p)
{
	for (enum side who = CLIENT; who <= SERVER; who++) {
		const struct script *s = &p->script[who];

		printf("%s: reads %" PRIu32 "..%" PRIu32 " bytes",
		       who == CLIENT ? "client" : "server", s->recv_lo, s->recv_hi);
		if (s->recv_pause)
			printf(", up to %" PRIu32 " ms apart", s->recv_pause);
		if (s->rcvbuf)
			printf(", SO_RCVBUF %d", s->rcvbuf);
		if (s->urgent)
			printf(", %u%% of the writes urgent", s->urgent);
		printf("%s%s\n", s->nodelay ? ", TCP_NODELAY" : "", s->pieces ? ", writev" : "");
		for (unsigned int i = 0; i < s->count; i++)
			print_step(&s->steps[i]);
	}
}
