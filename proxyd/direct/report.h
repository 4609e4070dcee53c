/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DIRECT_REPORT_H
#define PROXYD_DIRECT_REPORT_H

/* What `proxyd accelerate` prints of a lane. */

#include <jansson.h>
#include <stdbool.h>

#include "direct/lane.h"

/* A reason's name in JSON, and as part of a sentence. NULL for a number that is none. */
const char *direct_reason_name(enum sl_direct_reason reason);
const char *direct_reason_text(enum sl_direct_reason reason);

/* How many sockets there are for each reason, as an object. */
json_t *direct_report_sockets(const unsigned int counts[SL_REASONS]);

struct direct_report {
	struct direct_counts counts;
	struct sl_direct_totals totals;
	json_t *connections; /* array of sockets; NULL: not asked for */
	bool dry;            /* sockets "in the lane" are those that would be */
	bool running;        /* a proxyd is at work on it */
};

/* For direct_lane_scan(): adds the socket to the json_t array `user`. */
void direct_report_add(const struct sl_sighting *sighting, void *user);

void direct_report_print(const struct direct_report *report);
void direct_report_print_json(const struct direct_report *report);

#endif
