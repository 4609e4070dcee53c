// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/splicer.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow/socket_key.h"

#define RING_BYTES_MAX (4 * 1024 * 1024)
#define RECORD_BYTES   (sizeof(struct sl_event) + BPF_RINGBUF_HDR_SZ)

struct splice_pair {
	struct splicer *splicer;
	struct splice_pair *next_free;
	uint32_t index;
	uint64_t cookies[2]; /* of the downstream and of the upstream socket */
};

struct splicer {
	struct kernel_lane *lane;
	uint32_t worker;
	struct ring_buffer *ring;
	int ring_map;
	splicer_event_cb *event;
	void *user;
	struct splice_pair *pairs;
	struct splice_pair *free;
	uint32_t ring_records; /* that fit in the ring */
	uint64_t lost_seen;    /* events lost so far, by any worker */
};

static int read_ledger(const struct kernel_lane *lane, uint64_t cookie, struct sl_ledger *ledger)
{
	return bpf_map_lookup_elem(lane->ledgers, &cookie, ledger);
}

uint64_t splicer_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) ? 0 : cookie;
}

static int dispatch(void *user, void *data, size_t size)
{
	struct splicer *splicer = user;
	const struct sl_event *event = data;
	uint32_t pair = event->slot / 2 - splicer->worker * splicer->lane->pairs_per_worker;

	if (size >= sizeof(*event) && pair < splicer->lane->pairs_per_worker &&
	    splicer->pairs[pair].cookies[event->slot % 2] == event->cookie)
		splicer->event(splicer->user, pair, event);
	return 0;
}

/*
 * Room for an event of each direction at once: one emits an event when it first passes bytes, and
 * the next only after proxyd has pumped it. See recover_lost() for when that is not enough.
 */
static uint32_t ring_size(uint32_t pairs)
{
	uint32_t size = 64 * 1024;

	while (size / RECORD_BYTES < 2 * pairs && size < RING_BYTES_MAX)
		size *= 2;
	return size;
}

static int new_ring(struct splicer *splicer)
{
	int rings = splicer->lane->wakeups;
	uint32_t size = ring_size(splicer->lane->pairs_per_worker);
	int map = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "wakeups", 0, 0, size, NULL);
	int err;

	if (map < 0)
		return map;
	splicer->ring_map = map;
	splicer->ring_records = (uint32_t)(size / RECORD_BYTES);
	err = bpf_map_update_elem(rings, &splicer->worker, &map, BPF_ANY);
	if (err)
		return err;
	splicer->ring = ring_buffer__new(map, dispatch, splicer, NULL);
	return splicer->ring ? 0 : -errno;
}

int splicer_new(struct kernel_lane *lane, uint32_t worker, splicer_event_cb *event, void *user,
		struct splicer **out)
{
	struct splicer *splicer = calloc(1, sizeof(*splicer));
	int err;

	if (!splicer)
		return -ENOMEM;
	splicer->lane = lane;
	splicer->worker = worker;
	splicer->event = event;
	splicer->user = user;
	splicer->ring_map = -1;
	splicer->pairs = calloc(lane->pairs_per_worker, sizeof(*splicer->pairs));
	err = splicer->pairs ? new_ring(splicer) : -ENOMEM;
	if (err) {
		splicer_free(splicer);
		return err;
	}
	for (uint32_t i = lane->pairs_per_worker; i-- > 0;) {
		splicer->pairs[i].splicer = splicer;
		splicer->pairs[i].index = i;
		splicer->pairs[i].next_free = splicer->free;
		splicer->free = &splicer->pairs[i];
	}
	*out = splicer;
	return 0;
}

void splicer_free(struct splicer *splicer)
{
	if (!splicer)
		return;
	ring_buffer__free(splicer->ring);
	if (splicer->ring_map >= 0)
		close(splicer->ring_map);
	free(splicer->pairs);
	free(splicer);
}

uint32_t splicer_pairs(const struct splicer *splicer)
{
	return splicer->lane->pairs_per_worker;
}

int splicer_event_fd(const struct splicer *splicer)
{
	return ring_buffer__epoll_fd(splicer->ring);
}

/*
 * A full ring loses events, and a direction whose event was lost would sleep for ever. It is
 * full of events for proxyd, so this is the place to notice: any direction may be meant.
 */
static void recover_lost(struct splicer *splicer)
{
	struct sl_totals sums;

	if (kernel_lane_totals(splicer->lane, &sums) || sums.events_lost == splicer->lost_seen)
		return;
	splicer->lost_seen = sums.events_lost;
	for (uint32_t i = 0; i < splicer->lane->pairs_per_worker; i++)
		for (uint32_t d = SL_UP; d <= SL_DOWN; d++) {
			struct sl_event event = {.cookie = splicer->pairs[i].cookies[d], .slot = d};
			struct sl_ledger ledger;

			if (!event.cookie || read_ledger(splicer->lane, event.cookie, &ledger))
				continue;
			event.kind = ledger.broken ? SL_EVENT_BROKEN : SL_EVENT_PASSED;
			splicer->event(splicer->user, i, &event);
		}
}

void splicer_dispatch(struct splicer *splicer)
{
	int events = ring_buffer__consume(splicer->ring);

	if (events < 0 || (uint32_t)events >= splicer->ring_records / 2)
		recover_lost(splicer);
}

static uint32_t slot_of(const struct splice_pair *pair, enum sl_direction_index direction)
{
	const struct splicer *splicer = pair->splicer;

	return 2 * (splicer->worker * splicer->lane->pairs_per_worker + pair->index) + direction;
}

static struct sl_published *published_of(const struct splice_pair *pair,
					 enum sl_direction_index direction)
{
	return &pair->splicer->lane->published[slot_of(pair, direction)];
}

/* The ledger first: a socket must never meet the verdict program without one. */
static int enrol(const struct kernel_lane *lane, int fd, const struct sl_key *key)
{
	const struct sl_ledger ledger = {.key = *key};
	const int one = 1;
	uint64_t value = (uint64_t)fd;
	int err = bpf_map_update_elem(lane->ledgers, &key->cookie, &ledger, BPF_NOEXIST);

	if (err)
		return err;
	err = bpf_map_update_elem(lane->sockets, key, &value, BPF_NOEXIST);
	if (err) {
		bpf_map_delete_elem(lane->ledgers, &key->cookie);
		return err;
	}
	/* What arrived before the insertion meets the verdict only now (tcp_set_rcvlowat, 6.18). */
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
	return 0;
}

/* Whether sock_ops has enrolled the socket when it was established. */
static bool was_enrolled(const struct kernel_lane *lane, int fd, struct sl_ledger *ledger)
{
	return lane->sock_ops && !read_ledger(lane, splicer_cookie(fd), ledger);
}

/*
 * A partly read skb corrupts the stream once its socket is enrolled: the verdict program gets it
 * whole. With no byte unread, or none ever read, there is no such skb; nor on a socket that is
 * enrolled already.
 */
static int check_unread(const struct kernel_lane *lane, const int fds[2], const uint64_t read[2])
{
	for (int side = 0; side < 2; side++) {
		struct sl_ledger ledger;
		int unread;

		if (!read[side] || was_enrolled(lane, fds[side], &ledger))
			continue;
		if (ioctl(fds[side], SIOCINQ, &unread))
			return -errno;
		if (unread)
			return -EAGAIN;
	}
	return 0;
}

static int publish_peers(struct splice_pair *pair, const struct sl_key keys[2])
{
	int map = pair->splicer->lane->peers;

	for (int d = SL_UP; d <= SL_DOWN; d++) {
		const struct sl_peer peer = {
			.destination = keys[!d],
			.slot = slot_of(pair, (enum sl_direction_index)d),
			.worker = (__u16)pair->splicer->worker,
			.direction = (__u16)d,
		};
		int err = bpf_map_update_elem(map, &keys[d].cookie, &peer, BPF_NOEXIST);

		if (err)
			return err;
	}
	return 0;
}

/*
 * Enrol the socket, unless sock_ops has, and tell its key. Where it has, what proxyd has read
 * since, and kept, was passed: `relayed` begins with that, or the two would never agree.
 */
static int ensure_enrolled(const struct kernel_lane *lane, int fd, uint64_t read,
			   struct sl_key *key, __u64 *relayed)
{
	struct sl_ledger ledger;
	int err;

	if (was_enrolled(lane, fd, &ledger)) {
		*relayed = read;
		*key = ledger.key;
		return 0;
	}
	err = socket_key(fd, key);
	if (!err)
		err = kernel_lane_size_buffer(lane, fd);
	return err ? err : enrol(lane, fd, key);
}

/* What broke before the peers were published has sent no event. */
static int check_broken(const struct splice_pair *pair)
{
	for (int d = SL_UP; d <= SL_DOWN; d++) {
		struct sl_ledger ledger;

		if (!splice_ledger(pair, (enum sl_direction_index)d, &ledger) && ledger.broken)
			return -EBADMSG;
	}
	return 0;
}

static int pair_sockets(struct splice_pair *pair, const int fds[2], const uint64_t read[2])
{
	const struct kernel_lane *lane = pair->splicer->lane;
	struct sl_key keys[2];
	int err;

	for (int d = SL_UP; d <= SL_DOWN; d++)
		*published_of(pair, (enum sl_direction_index)d) = (struct sl_published){
			.lane = SL_LANE_RELAY,
			.window = lane->options.window,
			.watched = lane->options.watch,
		};
	for (int d = SL_UP; d <= SL_DOWN; d++) {
		struct sl_published *half = published_of(pair, (enum sl_direction_index)d);

		err = ensure_enrolled(lane, fds[d], read[d], &keys[d], &half->relayed);
		if (err)
			return err;
		pair->cookies[d] = keys[d].cookie;
	}
	err = publish_peers(pair, keys);
	return err ? err : check_broken(pair);
}

int splicer_pair(struct splicer *splicer, const int fds[2], const uint64_t read[2],
		 struct splice_pair **out)
{
	struct splice_pair *pair = splicer->free;
	int err;

	if (!pair)
		return -ENOSPC;
	err = check_unread(splicer->lane, fds, read);
	if (err)
		return err;
	splicer->free = pair->next_free;
	err = pair_sockets(pair, fds, read);
	if (err && !pair->cookies[SL_UP])
		splice_pair_free(pair);
	else
		*out = pair;
	return err;
}

bool splicer_is_broken(const struct splicer *splicer, int source)
{
	struct sl_ledger ledger;

	return !read_ledger(splicer->lane, splicer_cookie(source), &ledger) && ledger.broken;
}

uint32_t splice_pair_index(const struct splice_pair *pair)
{
	return pair->index;
}

/*
 * Elements of a hash map are reused at once, even while a program still reads them. Here none does:
 * the verdict program runs under the socket's lock, and closing took the socket off the map
 * under that lock (sock_map_close, net/core/sock_map.c, 6.18).
 */
void splice_pair_free(struct splice_pair *pair)
{
	struct splicer *splicer = pair->splicer;
	int peers = splicer->lane->peers;
	int ledgers = splicer->lane->ledgers;

	for (int side = 0; side < 2; side++) {
		if (!pair->cookies[side])
			continue;
		bpf_map_delete_elem(peers, &pair->cookies[side]);
		bpf_map_delete_elem(ledgers, &pair->cookies[side]);
		pair->cookies[side] = 0;
	}
	pair->next_free = splicer->free;
	splicer->free = pair;
}

void splice_set_lane(struct splice_pair *pair, enum sl_direction_index direction, enum sl_lane lane)
{
	__atomic_store_n(&published_of(pair, direction)->lane, (__u32)lane, __ATOMIC_RELEASE);
}

void splice_publish(struct splice_pair *pair, enum sl_direction_index direction, uint64_t bytes)
{
	struct sl_published *half = published_of(pair, direction);

	__atomic_store_n(&half->relayed, half->relayed + bytes, __ATOMIC_RELEASE);
}

int splice_ledger(const struct splice_pair *pair, enum sl_direction_index direction,
		  struct sl_ledger *ledger)
{
	return read_ledger(pair->splicer->lane, pair->cookies[direction], ledger);
}

uint64_t splice_pending(const struct splice_pair *pair, enum sl_direction_index direction)
{
	struct sl_ledger ledger;

	if (splice_ledger(pair, direction, &ledger))
		return 0;
	return ledger.passed - published_of(pair, direction)->relayed;
}

void splice_hold_source(int source, bool hold)
{
	int clamp = hold ? 1 : INT32_MAX / 2; /* tcp_set_window_clamp raises 1 to its minimum */

	setsockopt(source, IPPROTO_TCP, TCP_WINDOW_CLAMP, &clamp, sizeof(clamp));
}

static int tcp_info_of(int fd, struct tcp_info *info)
{
	socklen_t size = sizeof(*info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size) ? -errno : 0;
}

/*
 * How many bytes were ever put into the socket's send queue. tcpi_bytes_acked first, then what
 * is unacknowledged: in that order the sum can only be too low. The upstream socket opened
 * actively, and then tcpi_bytes_acked counts its SYN (tcp_rcv_synsent_state_process -> tcp_ack).
 */
static int bytes_written(int fd, bool opened_actively, uint64_t *bytes)
{
	struct tcp_info info = {0};
	int unacknowledged;
	int err = tcp_info_of(fd, &info);

	if (err)
		return err;
	if (ioctl(fd, SIOCOUTQ, &unacknowledged))
		return -errno;
	*bytes = info.tcpi_bytes_acked + (uint64_t)unacknowledged - opened_actively;
	return 0;
}

int splice_drained(const struct sl_ledger *ledger, enum sl_direction_index direction,
		   int destination, uint64_t sent)
{
	uint64_t written = 0;
	int err;

	if (!ledger->redirected)
		return 1;
	err = bytes_written(destination, direction == SL_UP, &written);
	return err ? err : written >= ledger->redirected + sent;
}

int splice_complete(const struct splice_pair *pair, enum sl_direction_index direction,
		    const struct sl_ledger *ledger, int source, uint64_t read)
{
	struct tcp_info info = {0};
	int err = tcp_info_of(source, &info);

	return err ? err
		   : sl_ledger_complete(ledger, published_of(pair, direction)->relayed, read,
					info.tcpi_bytes_received);
}
