/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_BANDWIDTH_H
#define PROXYD_BANDWIDTH_H

/*
 * Limits of bandwidth; docs/limits.md has the reasons and the figures.
 *
 * A flow's own limit is left to TCP, which paces what the socket sends, whatever lane it came by.
 *
 * The limit that a listener's flows share is a queue that all workers stand in: whoever wants to
 * read from a source asks for its turn and gets the time of it, behind all turns that were given
 * before. Each flow has at most one turn ahead in each direction, of a bounded number of bytes, so
 * that flows which always want more get the same. Such flows must be relayed.
 */

#include <stdbool.h>
#include <stdint.h>

/*
 * Have TCP send at most `rate` bytes a second of payload through the socket; 0 does nothing. Since
 * 4.13 no queueing discipline is needed for it (SO_MAX_PACING_RATE, sock_setsockopt). The first ten
 * segments are not paced (tcp_update_skb_after_send, 6.18). Returns 0 or -errno.
 */
int bandwidth_pace(int fd, uint64_t rate);

/* What all flows of a listener have together, in each direction. Any thread may call. */
struct bandwidth;

/* `rate`: bytes a second; 0: no limit. Returns 0 or -errno. */
int bandwidth_new(uint64_t rate, struct bandwidth **out);

/* The shares that are in use follow. */
void bandwidth_set_rate(struct bandwidth *bandwidth, uint64_t rate);
uint64_t bandwidth_rate(const struct bandwidth *bandwidth);

struct bandwidth *bandwidth_ref(struct bandwidth *bandwidth);
void bandwidth_unref(struct bandwidth *bandwidth); /* NULL is fine */

/* A flow's part in it, for its worker alone. */
struct share;

/* Returns 0 or -errno. */
int share_new(struct bandwidth *bandwidth, struct share **out);

/* Turns that were not used fall to others. NULL is fine. */
void share_free(struct share *share);

/*
 * Ask for the direction's turn. `unread`: bytes that wait, as far as known. Returns how many bytes
 * may be read now, or 0 and in *at_us when to ask again. `now_us` is the monotonic clock.
 */
uint32_t share_ask(struct share *share, int direction, uint32_t unread, uint64_t now_us,
		   uint64_t *at_us);

/* So many bytes were read, 0 if there were none. Without `more` to read the turn is over. */
void share_took(struct share *share, int direction, uint32_t bytes, bool more);

#endif
