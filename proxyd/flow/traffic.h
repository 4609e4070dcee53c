/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_TRAFFIC_H
#define PROXYD_TRAFFIC_H

/*
 * What a flow's traffic looks like from the relay, and the lane that suits it. Pure arithmetic:
 * no system call, no clock of its own.
 */

#include <stdbool.h>
#include <stdint.h>

enum traffic_kind {
	TRAFFIC_UNKNOWN,  /* too little seen */
	TRAFFIC_DIALOGUE, /* the directions take turns: request and response */
	TRAFFIC_BULK,     /* one direction streams */
};

struct traffic {
	uint32_t run;        /* bytes read since the other direction last had any */
	uint16_t turns;      /* changes of direction without a long run between them */
	uint8_t direction;   /* of the current run */
	uint8_t reads;       /* in the current run */
	uint8_t moves;       /* lane changes so far: each doubles the wait before the next */
	uint64_t not_before; /* ms: no move into the kernel lane before this */
};

/* Take a read of `bytes` in `direction` into account and say what the traffic is now. */
enum traffic_kind traffic_saw(struct traffic *traffic, int direction, uint32_t bytes);

/*
 * The flow left the kernel lane at `now` (ms) because it did not pay: wait before the next try,
 * twice as long each time.
 */
void traffic_left_kernel(struct traffic *traffic, uint64_t now);

/* Whether a move into the kernel lane may be tried at `now` (ms). */
bool traffic_may_move(const struct traffic *traffic, uint64_t now);

/*
 * Whether a stream is made of large writes, from TCP's view of its receiver: `segment` is the size
 * of segments seen (tcpi_rcv_mss), `maximum` the largest that the peer may send (tcpi_advmss).
 * Segments well below the maximum come from small writes.
 */
bool traffic_large_writes(uint32_t segment, uint32_t maximum);

#endif
