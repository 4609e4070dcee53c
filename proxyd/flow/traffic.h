/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_TRAFFIC_H
#define PROXYD_TRAFFIC_H

/*
 * What a flow's traffic looks like from the relay. A dialogue (the directions take turns: request
 * and response) gains in the kernel lane. Streams do not: splice(2) moves large writes for less,
 * and one large read many small ones (docs/kernel.md has the figures). Pure arithmetic: no system
 * call, no clock of its own.
 */

#include <stdbool.h>
#include <stdint.h>

/* What both sockets have received, as TCP counts it. */
struct traffic_count {
	uint64_t bytes;
	uint32_t segments;
};

struct traffic {
	uint64_t not_before;           /* ms: no move into the kernel lane before this */
	struct traffic_count half_way; /* when half of what makes a dialogue was seen */
	uint32_t run;                  /* bytes read since the other direction last had any */
	uint16_t turns;                /* changes of direction without a long run between them */
	uint8_t direction;             /* of the current run */
	uint8_t reads;                 /* in the current run */
	uint8_t retreats;              /* times that the kernel lane did not pay */
};

/* Take a read of `bytes` in `direction` into account. Returns whether the flow is a dialogue. */
bool traffic_saw(struct traffic *traffic, int direction, uint32_t bytes);

/* Whether the last read began the turn at which the segments are to be counted, to compare with. */
bool traffic_half_way(const struct traffic *traffic);

/*
 * Whether the dialogue's turns consist of many small segments of at most `segment` bytes, which the
 * relay reads at once while the kernel lane redirects each. `now` is the count now.
 */
bool traffic_bursts(const struct traffic *traffic, const struct traffic_count *now,
		    uint32_t segment);

/*
 * A worker has taken so many events from the kernel at once: keep their moving average in `*crowd`,
 * 0 at first.
 */
void traffic_turn(uint32_t *crowd, unsigned int events);

/* Whether so many flows are ready at once that the relay serves them for less than a redirect. */
bool traffic_is_crowded(uint32_t crowd);

/* Whether the direction of the last read does not take turns: it has read a lot in a row. */
bool traffic_streams(const struct traffic *traffic);

/*
 * The flow left the kernel lane, or could not enter it, at `now` (ms): wait before the next try,
 * twice as long each time.
 */
void traffic_retreat(struct traffic *traffic, uint64_t now);

/* Whether a move into the kernel lane may be tried at `now` (ms). */
bool traffic_may_advance(const struct traffic *traffic, uint64_t now);

#endif
