// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The budget against a simulation of what it bounds: a backlog of skbs, the worker that sends them
 * and the send queue that the reader empties.
 */
#include <criterion/criterion.h>
#include <sys/queue.h>

#include "sidelane/budget.h"
#include "unit/seed.h"

#define KIB 1024U
#define GIB (1024U * 1024 * KIB)

struct skb {
	STAILQ_ENTRY(skb) next;
	uint32_t len;
	uint32_t sent; /* of len */
	uint32_t truesize;
};

STAILQ_HEAD(skbs, skb);

struct simulation {
	struct rng *rng;
	struct sl_budget budget;
	uint32_t window;
	uint32_t largest;  /* true size of an skb */
	uint64_t end;      /* stream position behind the last skb charged */
	uint64_t position; /* up to which the backlog was sent */
	struct skbs backlog;
	struct skbs queue;
	uint64_t backlog_true; /* memory */
	uint64_t queue_true;
	uint64_t widest; /* by how much the bound was too high right after a settle, at most */
};

static void start(struct simulation *simulation, struct rng *rng, uint32_t window)
{
	*simulation = (struct simulation){.rng = rng, .window = window};
	STAILQ_INIT(&simulation->backlog);
	STAILQ_INIT(&simulation->queue);
	/* Half of the streams begin shortly before the position wraps. */
	simulation->end = rng_percent(rng, 50) ? UINT32_MAX - rng_range(rng, 0, window)
					       : (uint32_t)rng_next(rng);
	simulation->position = simulation->end;
	simulation->largest = rng_range(rng, window / 128, window / 16);
	if (simulation->largest > 68 * KIB)
		simulation->largest = 68 * KIB;
}

/*
 * An skb that is partly sent shares its pages with the send queue: the memory is there once, but
 * sk_wmem_queued counts the part that was sent.
 */
static uint32_t shared(const struct simulation *simulation)
{
	const struct skb *head = STAILQ_FIRST(&simulation->backlog);

	return head ? (uint32_t)((uint64_t)head->truesize * head->sent / head->len) : 0;
}

static uint32_t wmem_queued(const struct simulation *simulation)
{
	return (uint32_t)simulation->queue_true + shared(simulation);
}

static uint64_t truth(const struct simulation *simulation)
{
	return simulation->backlog_true + simulation->queue_true;
}

static void check(const struct simulation *simulation)
{
	const struct sl_budget *budget = &simulation->budget;
	uint64_t charges = 0;

	for (int i = 0; i < SL_BUDGET_EPOCHS; i++)
		charges += budget->epochs[i].charge;
	if (charges != budget->backlog)
		cr_assert_fail("the epochs hold %lu, the sum says %u", charges, budget->backlog);
	if (budget->backlog > simulation->window)
		cr_assert_fail("charged %u of a window of %u", budget->backlog, simulation->window);
	if (sl_budget_held(budget) < truth(simulation))
		cr_assert_fail("held %lu, the budget says %llu (window %u)", truth(simulation),
			       sl_budget_held(budget), simulation->window);
}

/* The worker sends the head of the backlog, or a part of it. */
static void work(struct simulation *simulation)
{
	struct skb *head = STAILQ_FIRST(&simulation->backlog);
	uint32_t bytes;

	if (!head)
		return;
	bytes = rng_percent(simulation->rng, 80)
			? head->len - head->sent
			: rng_range(simulation->rng, 1, head->len - head->sent);
	head->sent += bytes;
	simulation->position += bytes;
	if (head->sent < head->len)
		return;
	STAILQ_REMOVE_HEAD(&simulation->backlog, next);
	STAILQ_INSERT_TAIL(&simulation->queue, head, next);
	simulation->backlog_true -= head->truesize;
	simulation->queue_true += head->truesize;
}

static void acknowledge(struct simulation *simulation)
{
	struct skb *head = STAILQ_FIRST(&simulation->queue);

	if (!head)
		return;
	STAILQ_REMOVE_HEAD(&simulation->queue, next);
	simulation->queue_true -= head->truesize;
	free(head);
}

static void settle_at_once(struct simulation *simulation)
{
	uint64_t excess;

	sl_budget_settle(&simulation->budget, simulation->position, wmem_queued(simulation));
	check(simulation);
	excess = sl_budget_held(&simulation->budget) - truth(simulation);
	if (excess > simulation->widest)
		simulation->widest = excess;
	/* An epoch of which the last skb is left, and that skb partly sent: no more than 1/4. */
	if (excess > simulation->window / SL_BUDGET_EPOCHS + 2 * simulation->largest)
		cr_assert_fail("held %lu, the budget says %llu right after a settle (window %u)",
			       truth(simulation), sl_budget_held(&simulation->budget),
			       simulation->window);
}

/* The worker and the reader go on while the verdict program looks. */
static void settle_meanwhile(struct simulation *simulation)
{
	uint64_t position = simulation->position;
	uint32_t queued;

	for (uint32_t i = rng_range(simulation->rng, 0, 5); i > 0; i--)
		work(simulation);
	queued = wmem_queued(simulation);
	for (uint32_t i = rng_range(simulation->rng, 0, 5); i > 0; i--)
		rng_percent(simulation->rng, 50) ? work(simulation) : acknowledge(simulation);
	sl_budget_settle(&simulation->budget, position, queued);
	check(simulation);
}

static bool fits(const struct simulation *simulation, uint32_t truesize)
{
	return sl_budget_held(&simulation->budget) + truesize <= simulation->window;
}

/* An skb arrives. Returns whether there was room for it. */
static bool arrive(struct simulation *simulation)
{
	uint32_t truesize = rng_range(simulation->rng, 2, simulation->largest);
	struct skb *skb;

	if (!fits(simulation, truesize))
		settle_meanwhile(simulation);
	if (!fits(simulation, truesize))
		return false;
	skb = calloc(1, sizeof(*skb));
	cr_assert(skb);
	skb->truesize = truesize;
	skb->len = rng_log(simulation->rng, 1, truesize - 1);
	simulation->end += skb->len;
	simulation->backlog_true += truesize;
	STAILQ_INSERT_TAIL(&simulation->backlog, skb, next);
	sl_budget_charge(&simulation->budget, simulation->window, simulation->end, truesize);
	return true;
}

static void drain(struct simulation *simulation)
{
	while (!STAILQ_EMPTY(&simulation->backlog))
		work(simulation);
	while (!STAILQ_EMPTY(&simulation->queue))
		acknowledge(simulation);
}

/* One skb after another; how busy the worker and the reader are changes now and then. */
static unsigned int run(struct simulation *simulation, unsigned int skbs)
{
	uint32_t worker = 50, reader = 50;
	unsigned int refused = 0;

	for (unsigned int i = 0; i < skbs; i++) {
		if (i % 1000 == 0) {
			worker = rng_range(simulation->rng, 0, 100);
			reader = rng_range(simulation->rng, 0, 100);
		}
		refused += !arrive(simulation);
		for (int again = 0; again < 2; again++) {
			if (rng_percent(simulation->rng, worker))
				work(simulation);
			if (rng_percent(simulation->rng, reader))
				acknowledge(simulation);
		}
		check(simulation);
		if (rng_percent(simulation->rng, 5))
			settle_at_once(simulation);
	}
	return refused;
}

Test(budget, is_an_upper_bound_and_a_close_one, .timeout = 60)
{
	struct rng rng = seeded("budget");
	unsigned int refused = 0;
	double widest = 0;

	for (uint32_t window = 64 * KIB; window <= GIB; window *= 2) {
		struct simulation simulation;

		start(&simulation, &rng, window < GIB ? rng_range(&rng, window, 2 * window) : GIB);
		refused += run(&simulation, 40000);
		drain(&simulation);
		check(&simulation);
		settle_at_once(&simulation);
		cr_assert_eq(sl_budget_held(&simulation.budget), 0,
			     "%llu held when all is drained (window %u)",
			     sl_budget_held(&simulation.budget), simulation.window);
		if ((double)simulation.widest / simulation.window > widest)
			widest = (double)simulation.widest / simulation.window;
	}
	fprintf(stderr, "budget: at most %.1f %% of the window too high after a settle\n",
		100 * widest);
	cr_assert_gt(refused, 1000, "the window was hardly ever full: this tested little");
}

/* What makes the account cheap: a look gives back all of the window that is free. */
Test(budget, asks_for_a_look_once_in_a_window)
{
	struct rng rng = seeded("budget");

	for (uint32_t window = 64 * KIB; window <= 64 * KIB * KIB; window *= 4) {
		struct simulation simulation;
		uint64_t charged = 0;
		unsigned int looks = 0;

		start(&simulation, &rng, window);
		while (charged < 200 * (uint64_t)window) {
			uint32_t truesize = rng_range(&rng, 1, simulation.largest);

			if (!fits(&simulation, truesize)) {
				looks++;
				sl_budget_settle(&simulation.budget, simulation.end, 0);
			}
			cr_assert(fits(&simulation, truesize));
			simulation.end += truesize;
			charged += truesize;
			sl_budget_charge(&simulation.budget, window, simulation.end, truesize);
		}
		cr_assert_leq(looks, charged / (window - simulation.largest),
			      "%u looks for %lu windows", looks, charged / window);
	}
}

/* The budget full, then sent 100 bytes at a time. */
Test(budget, is_released_in_the_order_of_the_stream)
{
	const uint32_t window = 64 * KIB, piece = 1024;
	struct sl_budget budget = {0};
	uint64_t origin = UINT32_MAX - 20 * piece, end = origin;
	uint64_t before;

	while (sl_budget_held(&budget) + piece <= window) {
		end += piece;
		sl_budget_charge(&budget, window, end, piece);
	}
	before = sl_budget_held(&budget);
	cr_assert_eq(before, window);
	for (uint32_t left = window; left > 100; left -= 100) {
		sl_budget_settle(&budget, end - left, 0);
		cr_assert_leq(sl_budget_held(&budget), before);
		cr_assert_geq(sl_budget_held(&budget), left);
		cr_assert_leq(sl_budget_held(&budget), left + window / SL_BUDGET_EPOCHS);
		before = sl_budget_held(&budget);
	}
	sl_budget_settle(&budget, end, 0);
	cr_assert_eq(sl_budget_held(&budget), 0);
}
