// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "flow/pipe_pool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define POOLED_MAX 64

/*
 * Four times the default, so that one splice takes what a bulk sender queues between two turns of
 * the loop. Past pipe-user-pages-soft (pipe(7)) a user without CAP_SYS_RESOURCE gets 64 KiB, then
 * 8 KiB: that is worse than a copy, so no pipe then.
 */
#define PIPE_BYTES     (256 * 1024)
#define PIPE_BYTES_MIN (64 * 1024)

static void pipe_close(struct pipe *pipe)
{
	close(pipe->read_end);
	close(pipe->write_end);
	free(pipe);
}

struct pipe *pipe_pool_take(struct pipe_pool *pool)
{
	struct pipe *pipe = pool->free;
	int ends[2], size;

	if (pipe) {
		pool->free = pipe->next_free;
		pool->count--;
		pool->taken++;
		return pipe;
	}
	if (pool->taken >= pool->most)
		return NULL;
	pipe = calloc(1, sizeof(*pipe));
	if (!pipe)
		return NULL;
	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC)) {
		free(pipe);
		return NULL;
	}
	pipe->read_end = ends[0];
	pipe->write_end = ends[1];
	size = fcntl(pipe->write_end, F_SETPIPE_SZ, PIPE_BYTES);
	if (size < 0)
		size = fcntl(pipe->write_end, F_GETPIPE_SZ);
	pipe->capacity = size > 0 ? (size_t)size : 0;
	if (pipe->capacity < PIPE_BYTES_MIN) {
		pipe_close(pipe);
		return NULL;
	}
	pool->taken++;
	return pipe;
}

void pipe_pool_give(struct pipe_pool *pool, struct pipe *pipe)
{
	if (!pipe)
		return;
	pool->taken--;
	if (pipe->filled || pool->count >= POOLED_MAX) {
		pipe_close(pipe);
		return;
	}
	pipe->next_free = pool->free;
	pool->free = pipe;
	pool->count++;
}

void pipe_pool_clear(struct pipe_pool *pool)
{
	while (pool->free) {
		struct pipe *pipe = pool->free;

		pool->free = pipe->next_free;
		pipe_close(pipe);
	}
	pool->count = 0;
}
