/*
 * A storm of randomized connections through a TCP proxy, with both ends in one process, that finds
 * every lost, doubled, reordered, corrupted or foreign byte, every hang and every wrong close.
 */

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

#define POLL_US   2000
#define LINGER_MS 100 /* for connections that the proxy makes after their client is gone */

struct fleet {
	struct loop *loops;
	pthread_t *threads;
	unsigned int count;
};

static void *thread_main(void *loop)
{
	loop_run(loop);
	return NULL;
}

static void fleet_start(struct fleet *fleet, struct storm *s, int listener)
{
	unsigned int n = s->options->threads;

	fleet->loops = calloc(2 * n, sizeof(*fleet->loops));
	fleet->threads = calloc(2 * n, sizeof(*fleet->threads));
	if (!fleet->loops || !fleet->threads)
		errx(EXIT_FAILURE, "out of memory");
	for (unsigned int i = 0; i < 2 * n; i++) {
		if (loop_new(&fleet->loops[i], s, i < n ? SERVER : CLIENT, listener))
			err(EXIT_FAILURE, "loop");
	}
	for (; fleet->count < 2 * n; fleet->count++) {
		errno = pthread_create(&fleet->threads[fleet->count], NULL, thread_main,
				       &fleet->loops[fleet->count]);
		if (errno)
			err(EXIT_FAILURE, "thread");
	}
}

static void fleet_join(struct fleet *fleet)
{
	for (unsigned int i = 0; i < fleet->count; i++) {
		pthread_join(fleet->threads[i], NULL);
		loop_free(&fleet->loops[i]);
	}
	free(fleet->loops);
	free(fleet->threads);
}

static void await_end(struct storm *s)
{
	uint64_t quiet_since = now_ms();

	while (now_ms() - quiet_since < LINGER_MS) {
		usleep(POLL_US);
		if (atomic_load(&s->starters) || atomic_load(&s->clients) ||
		    atomic_load(&s->servers))
			quiet_since = now_ms();
	}
	atomic_store(&s->over, true);
}

static void judge_unfinished(struct storm *s)
{
	const struct options *o = s->options;

	for (uint32_t i = 0; i < o->connections; i++) {
		struct flow *f = &s->flows[i];
		unsigned int kind = plan_kind_of(&o->rules, f->index);
		bool server = f->done[SERVER] || plan_vanishes(kind);

		if (f->claim != CLAIM_IDLE && !f->failed && !(f->done[CLIENT] && server))
			flow_fail(s, f, f->done[CLIENT] ? "server" : "client",
				  "never completed its part");
	}
}

/*
 * How many connections ended at the server before it could know what they were. A failed flow's
 * connection may do so too: then nothing can be said.
 */
static void judge_anonymous(struct storm *s)
{
	unsigned long empty = 0, vanished = 0;
	const struct options *o = s->options;

	for (uint32_t i = 0; i < o->connections; i++) {
		unsigned int kind = plan_kind_of(&o->rules, s->flows[i].index);

		if (s->flows[i].failed)
			return;
		if (s->flows[i].claim == CLAIM_IDLE)
			continue;
		empty += plan_opener(kind) == OPENS_NOTHING;
		vanished += plan_vanishes(kind);
	}
	if (o->reset_as_eof_ok)
		empty = vanished;
	if (s->count.anonymous_eofs > empty)
		stray_fail(s, "server",
			   "%lu connections came empty, %lu are so by plan: the others"
			   " must have been reset",
			   (unsigned long)s->count.anonymous_eofs, empty);
	if (s->count.anonymous_errors > vanished)
		stray_fail(s, "server",
			   "%lu connections were reset before their first bytes, at"
			   " most %lu may be",
			   (unsigned long)s->count.anonymous_errors, vanished);
}

struct tally {
	unsigned long passed, failed, not_run, flows;
	uint64_t bytes[2];
	uint64_t ms, slowest_ms;
};

static void tally_flow(struct tally *t, const struct flow *f)
{
	uint64_t ms = f->progress_ms > f->started_ms ? f->progress_ms - f->started_ms : 0;

	if (f->claim == CLAIM_IDLE && !f->failed) {
		t->not_run++;
		return;
	}
	t->flows++;
	t->failed += f->failed;
	t->passed += !f->failed;
	t->bytes[CLIENT] += f->received[SERVER];
	t->bytes[SERVER] += f->received[CLIENT];
	t->ms += ms;
	t->slowest_ms = ms > t->slowest_ms ? ms : t->slowest_ms;
}

static void print_tally(const char *name, const struct tally *t)
{
	if (t->flows)
		printf("%-20s %8lu %10.1f %10.1f %10.1f %10" PRIu64 "\n", name, t->flows,
		       (double)t->bytes[CLIENT] / 1e6, (double)t->bytes[SERVER] / 1e6,
		       (double)t->ms / (double)t->flows, t->slowest_ms);
}

static int report(struct storm *s, double seconds)
{
	const struct options *o = s->options;
	struct tally all = {0};
	struct tally *kinds = calloc(plan_kinds(), sizeof(*kinds));

	if (!kinds)
		errx(EXIT_FAILURE, "out of memory");
	for (uint32_t i = 0; i < o->connections; i++) {
		tally_flow(&kinds[plan_kind_of(&o->rules, s->flows[i].index)], &s->flows[i]);
		tally_flow(&all, &s->flows[i]);
	}
	printf("%-20s %8s %10s %10s %10s %10s\n", "kind", "flows", "MB up", "MB down", "mean ms",
	       "slowest");
	for (unsigned int i = 0; i < plan_kinds(); i++)
		print_tally(plan_kind_name(i), &kinds[i]);
	print_tally("all", &all);
	free(kinds);
	printf("%.1f s; hung %lu, reset %lu, refused %lu; resets seen %lu, as end of stream %lu;"
	       " ended unknown %lu by end of stream, %lu by reset; not run %lu\n",
	       seconds, (unsigned long)s->count.hung, (unsigned long)s->count.reset,
	       (unsigned long)s->count.refused, (unsigned long)s->count.resets_seen,
	       (unsigned long)s->count.resets_as_eof, (unsigned long)s->count.anonymous_eofs,
	       (unsigned long)s->count.anonymous_errors, all.not_run);
	if (all.failed)
		printf("To replay a flow: the same command with --seed %" PRIu64
		       " --replay INDEX\n",
		       o->rules.seed);
	printf("%lu passed, %lu failed\n", all.passed, all.failed + s->count.stray);
	return all.failed || all.not_run || s->count.stray ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void print_plan(const struct options *o)
{
	struct plan plan;

	plan_build(&plan, &o->rules, o->first);
	printf("flow %" PRIu32 ": %s\n", o->first, plan_kind_name(plan.kind));
	plan_print(&plan);
	plan_free(&plan);
}

int main(int argc, char **argv)
{
	static struct storm storm;
	struct fleet fleet = {0};
	struct options options;
	uint64_t began;
	int listener, error, status;

	options_parse(&options, argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("storm: seed %" PRIu64 ", %u connections, %u at a time\n", options.rules.seed,
	       options.connections, options.concurrency);
	if (options.verbose && options.connections == 1)
		print_plan(&options);
	signal(SIGPIPE, SIG_IGN); /* writev has no MSG_NOSIGNAL */
	if (storm_new(&storm, &options))
		errx(EXIT_FAILURE, "out of memory");
	storm.starters = options.threads;
	storm.silent_left = client_silent_flows(&options);
	error = server_listen(&options, &listener);
	if (error)
		errx(EXIT_FAILURE, "--listen: %s", strerror(-error));
	began = now_ms();
	fleet_start(&fleet, &storm, listener);
	await_end(&storm);
	fleet_join(&fleet);
	close(listener);
	judge_unfinished(&storm);
	judge_anonymous(&storm);
	status = report(&storm, (double)(now_ms() - began) / 1000);
	storm_free(&storm);
	return status;
}
