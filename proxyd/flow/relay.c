// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "flow/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "flow/mirror.h"
#include "flow/splicer.h"
#include "flow/pipe_pool.h"
#include "flow/worker.h"

/* Reads in a row that fill the buffer before splice(2) takes over: below, a copy is cheaper. */
#define SPLICE_AFTER 2

/* A splice of fewer bytes costs more than a copy: go back to the buffer. */
#define SPLICE_WORTH (16 * 1024)

bool relay_holds(const struct direction *direction)
{
	return direction->held || (direction->pipe && direction->pipe->filled);
}

static void count_sent(struct flow *flow, int d, size_t bytes)
{
	struct direction *direction = &flow->directions[d];

	direction->sent += bytes;
	stats_add(&flow->worker->stats.relayed[d], bytes);
	if (flow->pair) {
		splice_publish(flow->pair, (enum sl_direction_index)d, bytes);
		/* The verdict program may redirect again from here on. */
		if (direction->lane == SL_LANE_KERNEL)
			direction->drained = false;
	}
}

static int hold(struct direction *direction, const unsigned char *bytes, size_t size)
{
	struct held *held = malloc(sizeof(*held) + size);

	if (!held)
		return -ENOMEM;
	held->start = 0;
	held->end = (uint32_t)size;
	memcpy(held->bytes, bytes, size);
	direction->held = held;
	return 0;
}

/* Every error of the destination means the same: it will take no more. */
ssize_t relay_give_bytes(struct flow *flow, int d, const unsigned char *bytes, size_t size)
{
	ssize_t sent;

	do
		sent = send(flow->fds[!d], bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0) {
		count_sent(flow, d, (size_t)sent);
		return sent;
	}
	return errno == EAGAIN ? -EAGAIN : -EPIPE;
}

static ssize_t take_copy(struct flow *flow, int d, size_t room, bool pass_on)
{
	struct direction *direction = &flow->directions[d];
	unsigned char *buffer = flow->worker->buffer;
	ssize_t taken, given = 0;

	taken = recv(flow->fds[d], buffer, room < WORKER_BUFFER ? room : WORKER_BUFFER,
		     MSG_DONTWAIT);
	if (taken <= 0)
		return taken ? -errno : 0;
	direction->read += (size_t)taken;
	if (taken < WORKER_BUFFER)
		direction->full_reads = 0;
	else if (direction->full_reads < UINT8_MAX)
		direction->full_reads++;
	if (d == SL_UP && flow->mirror)
		mirror_give(flow->mirror, buffer, (size_t)taken);
	if (pass_on)
		given = relay_give_bytes(flow, d, buffer, (size_t)taken);
	if (given == -EAGAIN)
		given = 0;
	if (given < 0)
		return given;
	if (given < taken && hold(direction, buffer + given, (size_t)(taken - given)))
		return -ENOMEM;
	return taken;
}

/* An idle direction keeps no pipe, but the next bytes are spliced again at once. */
static void return_pipe(struct flow *flow, struct direction *direction)
{
	pipe_pool_give(&flow->worker->pipes, direction->pipe);
	direction->pipe = NULL;
}

/*
 * At an urgent byte splice(2) finds nothing, and at the FIN behind it the end of the stream
 * (tcp_splice_read, 6.18): only recv() is to be believed about either.
 */
static ssize_t take_splice(struct flow *flow, int d, size_t room, bool pass_on)
{
	struct direction *direction = &flow->directions[d];
	struct pipe *pipe = direction->pipe;
	ssize_t taken = splice(flow->fds[d], NULL, pipe->write_end, NULL,
			       room < pipe->capacity ? room : pipe->capacity,
			       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	int err;

	if (taken <= 0) {
		err = taken && errno != EAGAIN ? -errno : 0;
		return_pipe(flow, direction);
		return err ? err : take_copy(flow, d, room, pass_on);
	}
	if (taken < SPLICE_WORTH)
		direction->full_reads = 0;
	direction->read += (size_t)taken;
	pipe->filled += (size_t)taken;
	if (d == SL_UP && flow->mirror)
		mirror_miss(flow->mirror, (size_t)taken);
	err = relay_give(flow, d);
	return err && err != -EAGAIN ? err : taken;
}

/*
 * splice(2) does not see what the verdict program passed, and a mirror not what was spliced: only
 * for sockets that are not enrolled, and a mirror that was given up. Of what was gathered it makes
 * pieces of 4 KiB again, each a slot of the pipe.
 */
static bool wants_splice(struct flow *flow, int d)
{
	struct direction *direction = &flow->directions[d];

	if (direction->full_reads < SPLICE_AFTER || direction->gather.on || flow_enrolled(flow) ||
	    (d == SL_UP && flow->mirror && mirror_takes(flow->mirror))) {
		return_pipe(flow, direction);
		return false;
	}
	if (!direction->pipe)
		direction->pipe = pipe_pool_take(&flow->worker->pipes);
	return direction->pipe;
}

ssize_t relay_take(struct flow *flow, int d, size_t room, bool pass_on)
{
	if (wants_splice(flow, d))
		return take_splice(flow, d, room, pass_on);
	return take_copy(flow, d, room, pass_on);
}

static int give_held(struct flow *flow, int d)
{
	struct direction *direction = &flow->directions[d];
	struct held *held = direction->held;
	ssize_t given =
		relay_give_bytes(flow, d, held->bytes + held->start, held->end - held->start);

	if (given < 0)
		return (int)given;
	held->start += (uint32_t)given;
	if (held->start < held->end)
		return -EAGAIN;
	free(held);
	direction->held = NULL;
	return 0;
}

static int give_spliced(struct flow *flow, int d)
{
	struct pipe *pipe = flow->directions[d].pipe;

	while (pipe->filled) {
		ssize_t given = splice(pipe->read_end, NULL, flow->fds[!d], NULL, pipe->filled,
				       SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (given <= 0)
			return given && errno == EAGAIN ? -EAGAIN : -EPIPE;
		pipe->filled -= (size_t)given;
		count_sent(flow, d, (size_t)given);
	}
	return 0;
}

int relay_give(struct flow *flow, int d)
{
	struct direction *direction = &flow->directions[d];
	int err = 0;

	if (direction->held)
		err = give_held(flow, d);
	if (!err && direction->pipe)
		err = give_spliced(flow, d);
	return err;
}

void relay_drop(struct flow *flow, int d)
{
	struct direction *direction = &flow->directions[d];

	free(direction->held);
	direction->held = NULL;
	return_pipe(flow, direction);
}
