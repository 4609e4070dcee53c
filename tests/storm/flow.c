#include "flow.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A proxy that is wholly broken is not worth 20,000 lines and 20,000 timeouts. */
#define FAILURES_SHOWN    100
#define FAILURES_TOO_MANY 200

static int pool_new(struct pool *p, uint32_t capacity)
{
	p->indexes = calloc(capacity, sizeof(*p->indexes));
	return p->indexes ? -pthread_mutex_init(&p->lock, NULL) : -ENOMEM;
}

int storm_new(struct storm *s, const struct options *o)
{
	s->options = o;
	s->flows = calloc(o->connections, sizeof(*s->flows));
	if (!s->flows || pool_new(&s->silent, o->connections) ||
	    pool_new(&s->half_closed, o->connections)) {
		storm_free(s);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < o->connections; i++)
		s->flows[i].index = o->first + i;
	return 0;
}

void storm_free(struct storm *s)
{
	free(s->flows);
	free(s->silent.indexes);
	free(s->half_closed.indexes);
}

struct flow *storm_flow(struct storm *s, uint32_t index)
{
	uint32_t i = index - s->options->first;

	return i < s->options->connections ? &s->flows[i] : NULL;
}

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void flow_progress(struct flow *f, uint64_t now)
{
	atomic_store_explicit(&f->progress_ms, now, memory_order_relaxed);
}

void pool_put(struct pool *p, uint32_t index)
{
	pthread_mutex_lock(&p->lock);
	p->indexes[p->tail++] = index;
	pthread_mutex_unlock(&p->lock);
}

bool pool_take(struct pool *p, uint32_t *index)
{
	bool found;

	pthread_mutex_lock(&p->lock);
	found = p->head < p->tail;
	if (found)
		*index = p->indexes[p->head++];
	pthread_mutex_unlock(&p->lock);
	return found;
}

bool pool_empty(struct pool *p)
{
	bool empty;

	pthread_mutex_lock(&p->lock);
	empty = p->head == p->tail;
	pthread_mutex_unlock(&p->lock);
	return empty;
}

bool flow_claim(struct flow *f, enum claim from, enum claim to)
{
	uint8_t expected = (uint8_t)from;

	return atomic_compare_exchange_strong(&f->claim, &expected, (uint8_t)to);
}

static void print_failure(struct storm *s, const char *what, const char *who, const char *fmt,
			  va_list ap)
{
	unsigned int n = atomic_fetch_add(&s->shown, 1);

	if (n >= FAILURES_SHOWN && !s->options->verbose) {
		if (n == FAILURES_SHOWN)
			printf("storm: further failures are not shown without --verbose\n");
		return;
	}
	flockfile(stdout);
	printf("BAD %s: %s: ", what, who);
	vprintf(fmt, ap);
	putchar('\n');
	funlockfile(stdout);
}

void flow_fail(struct storm *s, struct flow *f, const char *who, const char *fmt, ...)
{
	const struct plan_rules *rules = &s->options->rules;
	char what[128];
	va_list ap;

	if (atomic_exchange(&f->failed, true))
		return;
	snprintf(what, sizeof(what), "flow %u seed %llu %s", f->index,
		 (unsigned long long)rules->seed, plan_kind_name(plan_kind_of(rules, f->index)));
	va_start(ap, fmt);
	print_failure(s, what, who, fmt, ap);
	va_end(ap);
}

void stray_fail(struct storm *s, const char *who, const char *fmt, ...)
{
	char what[128];
	va_list ap;

	atomic_fetch_add(&s->count.stray, 1);
	snprintf(what, sizeof(what), "connection of no known flow, seed %llu",
		 (unsigned long long)s->options->rules.seed);
	va_start(ap, fmt);
	print_failure(s, what, who, fmt, ap);
	va_end(ap);
}

bool storm_gives_up(struct storm *s)
{
	return atomic_load(&s->shown) >= FAILURES_TOO_MANY;
}
