/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_SPLICER_H
#define PROXYD_SPLICER_H

/*
 * A worker's hands in the kernel lane: enrols and pairs sockets, publishes what proxyd has
 * relayed, and reads from the ledger and from TCP what is still on its way. It knows sockets and
 * ledgers, not flows.
 */

#include "flow/kernel_lane.h"

struct splicer;
struct splice_pair;

typedef void splicer_event_cb(void *user, uint32_t pair, const struct sl_event *event);

/*
 * A worker's own access to the lane. `event` is called from splicer_dispatch() with the pair's
 * index, below the number that splicer_pairs() gives. Returns 0 or -errno.
 */
int splicer_new(struct kernel_lane *lane, uint32_t worker, splicer_event_cb *event, void *user,
		struct splicer **out);
void splicer_free(struct splicer *splicer);
uint32_t splicer_pairs(const struct splicer *splicer);

/* A file descriptor that is readable while events wait for splicer_dispatch(). */
int splicer_event_fd(const struct splicer *splicer);
void splicer_dispatch(struct splicer *splicer);

/*
 * Enrol the downstream socket fds[0] and the upstream socket fds[1] where sock_ops has not done it,
 * and publish each as the other's peer. Both must be ESTABLISHED. `read` says for each how
 * many bytes were read from it before; they were not sent on through the pair. Both directions
 * start in the relay lane.
 *
 * Returns 0 and the new pair. -EAGAIN: unread bytes wait, which may be part of an skb; read them
 * and try again. Otherwise -errno (-ENOSPC: no pair is free, -EOPNOTSUPP: the kernel
 * takes no such socket, -EBADMSG: a direction is broken, see splicer_is_broken()), and then too a
 * pair if a socket is in the map all the same; the directions of that pair must stay in the relay
 * lane. Enrolled sockets must be read with recv() only: splice(2) does not see what the verdict
 * program passed.
 */
int splicer_pair(struct splicer *splicer, const int fds[2], const uint64_t read[2],
		 struct splice_pair **out);

/* The socket's cookie, 0 if it has none. */
uint64_t splicer_cookie(int fd);

/*
 * Whether the verdict program had to drop bytes of this source, which may not be paired. The flow
 * must be aborted: what is left must not look like a whole stream.
 */
bool splicer_is_broken(const struct splicer *splicer, int source);

uint32_t splice_pair_index(const struct splice_pair *pair);

/* Both sockets must have been closed: no verdict program can be at work on them any more. */
void splice_pair_free(struct splice_pair *pair);

/* Let a direction's bytes enter `lane` as soon as the one rule allows it. */
void splice_set_lane(struct splice_pair *pair, enum sl_direction_index direction,
		     enum sl_lane lane);

/* The destination has taken `bytes` more of the passed bytes. */
void splice_publish(struct splice_pair *pair, enum sl_direction_index direction, uint64_t bytes);

/*
 * How many bytes were passed and not published yet. With none proxyd may sleep: the next pass sends
 * an event. They may be unreadable yet: where the source has a backlog of its own they queue behind
 * it (sk_psock_verdict_apply, 6.18).
 */
uint64_t splice_pending(const struct splice_pair *pair, enum sl_direction_index direction);

/*
 * Shut the source's receive window, or let it open again. Bytes that queue behind a backlog are in
 * no memory account (tcp_read_skb orphans them), so that TCP would invite more and more of them.
 */
void splice_hold_source(int source, bool hold);

/* A copy of the direction's ledger. Returns 0 or -errno. */
int splice_ledger(const struct splice_pair *pair, enum sl_direction_index direction,
		  struct sl_ledger *ledger);

/*
 * Whether all that was redirected has reached the destination's send queue. `sent` is what proxyd
 * itself has ever sent there, bytes. Only valid while nothing can be redirected, that is while
 * passed bytes wait for proxyd, or the source has ended, or the lane is the relay. Returns 1, 0
 * (ask again soon), or -errno.
 */
int splice_drained(const struct sl_ledger *ledger, enum sl_direction_index direction,
		   int destination, uint64_t sent);

/*
 * Whether every byte that the source's TCP received before its end was redirected or read by proxyd
 * (`read` bytes ever), which holds none of them: sl_ledger_complete(). Returns 1, 0 (ask again
 * soon), or -errno.
 */
int splice_complete(const struct splice_pair *pair, enum sl_direction_index direction,
		    const struct sl_ledger *ledger, int source, uint64_t read);

#endif
