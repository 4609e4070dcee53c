/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_GATHER_H
#define PROXYD_GATHER_H

/*
 * Gathering: a fast stream of small writes from nearby is read in large pieces, a little late.
 *
 * Where proxyd reads each small segment as it comes, sender, proxyd and receiver pay for a segment,
 * a wake-up, a read and a write for every few KiB; a slower proxy finds more each time and is
 * cheaper. So for such a stream the kernel is to wake proxyd only when the source's receive buffer
 * is full (SO_RCVLOWAT), and proxyd then reads half of it; behind a window that is shut most of the
 * time the sender's TCP joins its small writes into large segments. A clock bounds how late a byte
 * may be.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct flow;

/* Of one direction. All zero: not gathering, and the stream has not been looked at. */
struct gather {
	uint64_t look_at;  /* bytes read at which to look whether gathering pays */
	uint64_t since;    /* bytes read at the start of what is measured: a sample or a period */
	uint64_t since_us; /* the time then */
	uint64_t due_us;   /* when the buffer is to be read though it is not full */
	uint32_t segments; /* that TCP had received at the start of the sample */
	uint32_t enough;   /* bytes in a period; fewer: the stream has become slow */
	uint8_t doublings; /* of the bytes until the next look */
	bool on;
};

/* What was seen of a stream between two looks. */
struct gather_sample {
	uint64_t bytes;
	uint64_t us;
	uint32_t segments;
	uint32_t round_trip_us; /* the least; 0: not known, as on a loopback interface */
};

/* Whether gathering pays for such a stream. */
bool gather_pays(const struct gather_sample *sample);

/* How many bytes a turn may take that could take `most` if nothing were gathered. */
ssize_t gather_turn(const struct flow *flow, int direction, ssize_t most);

/* A turn is over: begin or end gathering where that pays, and have the next turn come in time. */
void gather_rest(struct flow *flow, int direction);

/* Bytes are read as they come again. Nothing happens where none were gathered. */
void gather_end(struct flow *flow, int direction);

#endif
