/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DIRECT_LANE_H
#define PROXYD_DIRECT_LANE_H

/*
 * The programs and maps of one cgroup's direct lane (bpf/direct.bpf.c), or of one proxyd's flows
 * (direct/offers.h). The maps are pinned, in a directory named after the cgroup: a map that goes
 * away takes out its sockets, and what these have not read yet is lost. So whoever dies leaves the
 * lane working; the next one adopts it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "direct/settings.h"
#include "sidelane/direct.h"

struct direct_lane;

/*
 * Open the cgroup, load, pin or adopt, attach. With DIRECT_CLEAR and DIRECT_STATUS only to
 * adopt: -ENOENT when nothing is pinned. With DIRECT_DRY_RUN nothing is pinned. Only one may have
 * it at a time, but for DIRECT_STATUS: -EBUSY. Returns 0 or -errno; it has said what went wrong,
 * but for -ENOENT.
 */
int direct_lane_new(const struct direct_settings *settings, struct direct_lane **out);
void direct_lane_free(struct direct_lane *lane); /* NULL is fine; what is pinned stays */

/* Nobody comes in any more, everybody leaves. */
void direct_lane_stop(struct direct_lane *lane);
void direct_lane_resume(struct direct_lane *lane);

/* With settings->through: the map of struct sl_offer by cookie. A descriptor, the lane's own. */
int direct_lane_offers(const struct direct_lane *lane);

struct direct_counts {
	unsigned int reasons[SL_REASONS]; /* sockets, SL_REASON_NONE: in the lane */
	unsigned int restless;            /* on their way into the lane or out of it */
};

/*
 * Visit every socket once, in all network namespaces of the cgroup; ask who holds the sockets where
 * that is of interest. `list` (NULL is fine) is called for each. Returns 0 or -errno.
 */
int direct_lane_scan(struct direct_lane *lane, struct direct_counts *counts,
		     void (*list)(const struct sl_sighting *sighting, void *user), void *user);

/* How many sockets are in the socket map. Returns that or -errno. */
int direct_lane_enrolled(const struct direct_lane *lane);

/* Returns 0 or -errno. */
int direct_lane_totals(const struct direct_lane *lane, struct sl_direct_totals *totals);

/* Remove what is pinned: when nobody is in the socket map any more. */
void direct_lane_unpin(struct direct_lane *lane);

/* The directory where it is pinned. The lane's own. */
const char *direct_lane_path(const struct direct_lane *lane);

/* Whether another proxyd is at work on it. For DIRECT_STATUS. */
bool direct_lane_running(const struct direct_lane *lane);

#endif
