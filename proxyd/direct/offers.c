// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "direct/offers.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "direct/lane.h"
#include "direct/pace.h"
#include "log.h"

/* At the end, until ends that have not read stay behind in the map that is pinned. */
#define PATIENCE_MS  2000

#define ALTERNATE_MS 500

struct offers {
	struct direct_settings settings;
	struct direct_lane *lane;
	uint64_t before[2]; /* bytes of a proxyd before */
	bool alternate;
	bool started;
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t wake;  /* stopping, or the first flow is offered */
	bool stopping;
	atomic_uint flows;
	atomic_uint sockets[SL_REASONS]; /* of the last scan */
};

/* --- The thread ------------------------------------------------------------------------------ */

static int visit(struct offers *offers, struct direct_counts *counts, struct pace *pace)
{
	int err = pace_scan(offers->lane, counts, pace);

	for (int i = 0; !err && i < SL_REASONS; i++)
		atomic_store_explicit(&offers->sockets[i], counts->reasons[i],
				      memory_order_relaxed);
	return err;
}

/* With no flow offered and nobody in the lane there is nothing to look at. */
static bool is_idle(const struct offers *offers, const struct direct_counts *counts)
{
	return !atomic_load(&offers->flows) && !counts->restless &&
	       !counts->reasons[SL_REASON_NONE];
}

/* Returns whether to go on. */
static bool rest(struct offers *offers, const struct direct_counts *counts, const struct pace *pace)
{
	uint64_t milliseconds = pace_until_next(&offers->settings, pace);
	struct timespec until;
	bool go_on;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)(milliseconds % 1000 * 1000000);
	until.tv_sec += (time_t)(milliseconds / 1000) + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&offers->lock);
	if (pace->err || !is_idle(offers, counts)) {
		while (!offers->stopping &&
		       pthread_cond_timedwait(&offers->wake, &offers->lock, &until) != ETIMEDOUT)
			;
	} else {
		while (!offers->stopping && !atomic_load(&offers->flows))
			pthread_cond_wait(&offers->wake, &offers->lock);
	}
	go_on = !offers->stopping;
	pthread_mutex_unlock(&offers->lock);
	return go_on;
}

static void alternate(struct direct_lane *lane)
{
	if (pace_clock_ms(CLOCK_MONOTONIC) / ALTERNATE_MS % 2)
		direct_lane_stop(lane);
	else
		direct_lane_resume(lane);
}

static void *run(void *user)
{
	struct offers *offers = user;
	struct direct_counts counts = {0};
	struct pace pace = {0};

	while (rest(offers, &counts, &pace)) {
		if (offers->alternate)
			alternate(offers->lane);
		visit(offers, &counts, &pace);
	}
	return NULL;
}

/* --- Begin and end --------------------------------------------------------------------------- */

static int settle(struct direct_settings *settings, const struct offers_options *options)
{
	int err = direct_settings_for_flows(settings, options->config, options->control);

	settings->eager = options->eager;
	if (options->eager) {
		settings->wanted.any_program = 1;
		settings->wanted.interval = 1;
	}
	return err;
}

int offers_new(const struct offers_options *options, struct offers **out)
{
	struct offers *offers = calloc(1, sizeof(*offers));
	struct sl_direct_totals totals;
	pthread_condattr_t attributes;
	int err;

	if (!offers)
		return -ENOMEM;
	pthread_mutex_init(&offers->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&offers->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	offers->alternate = options->alternate;
	err = settle(&offers->settings, options);
	if (!err)
		err = direct_lane_new(&offers->settings, &offers->lane);
	if (!err)
		err = direct_lane_totals(offers->lane, &totals);
	if (err) {
		offers_free(offers);
		return err;
	}
	memcpy(offers->before, totals.through, sizeof(offers->before));
	*out = offers;
	return 0;
}

int offers_start(struct offers *offers)
{
	sigset_t all, before;
	int err;

	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&offers->thread, NULL, run, offers);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	offers->started = !err;
	return -err;
}

static void stop(struct offers *offers)
{
	if (!offers->started)
		return;
	pthread_mutex_lock(&offers->lock);
	offers->stopping = true;
	pthread_cond_signal(&offers->wake);
	pthread_mutex_unlock(&offers->lock);
	pthread_join(offers->thread, NULL);
}

static void drain(struct offers *offers)
{
	uint64_t until = pace_clock_ms(CLOCK_MONOTONIC) + PATIENCE_MS;
	struct direct_counts counts;
	struct pace pace = {0};
	int enrolled;

	direct_lane_stop(offers->lane);
	while ((enrolled = direct_lane_enrolled(offers->lane)) > 0 &&
	       pace_clock_ms(CLOCK_MONOTONIC) < until && !visit(offers, &counts, &pace)) {
		const struct timespec pause = {.tv_nsec = (long)(PACE_RESTLESS_MS + pace.cpu_ms) *
							  1000000 % 1000000000};

		nanosleep(&pause, NULL);
	}
	if (!enrolled)
		direct_lane_unpin(offers->lane);
	else
		log_notice(
			"%d sockets of programs that have not closed them yet stay in the direct "
			"lane's map; the next start clears it, or proxyd accelerate --clear",
			enrolled);
}

void offers_free(struct offers *offers)
{
	if (!offers)
		return;
	stop(offers);
	if (offers->lane)
		drain(offers);
	direct_lane_free(offers->lane);
	pthread_cond_destroy(&offers->wake);
	pthread_mutex_destroy(&offers->lock);
	free(offers);
}

/* --- For the workers ------------------------------------------------------------------------- */

int offers_add(struct offers *offers, const uint64_t cookies[2], uint32_t added)
{
	int map = direct_lane_offers(offers->lane), err = 0;

	for (__u32 side = 0; !err && side < 2; side++) {
		const struct sl_offer offer = {
			.other = cookies[!side],
			.side = side,
			.added = side ? 0 : added,
			.reason = SL_REASON_NO_PEER,
		};

		err = bpf_map_update_elem(map, &cookies[side], &offer, BPF_NOEXIST);
	}
	if (err) {
		bpf_map_delete_elem(map, &cookies[0]);
		return err;
	}
	if (!atomic_fetch_add(&offers->flows, 1)) {
		pthread_mutex_lock(&offers->lock);
		pthread_cond_signal(&offers->wake);
		pthread_mutex_unlock(&offers->lock);
	}
	return 0;
}

void offers_remove(struct offers *offers, const uint64_t cookies[2])
{
	int map = direct_lane_offers(offers->lane);

	for (int side = 0; side < 2; side++)
		bpf_map_delete_elem(map, &cookies[side]);
	atomic_fetch_sub(&offers->flows, 1);
}

int offers_look(const struct offers *offers, uint64_t cookie, struct sl_offer *out)
{
	return bpf_map_lookup_elem(direct_lane_offers(offers->lane), &cookie, out);
}

void offers_ask(const struct offers *offers, struct offers_report *report)
{
	struct sl_direct_totals totals = {0};

	direct_lane_totals(offers->lane, &totals);
	report->flows = atomic_load(&offers->flows);
	for (int i = 0; i < SL_REASONS; i++)
		report->sockets[i] =
			atomic_load_explicit(&offers->sockets[i], memory_order_relaxed);
	for (int i = 0; i < 2; i++)
		report->bytes[i] = totals.through[i] - offers->before[i];
}
