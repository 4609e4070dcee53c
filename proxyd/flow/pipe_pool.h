/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PIPE_POOL_H
#define PROXYD_PIPE_POOL_H

#include <stddef.h>
#include <stdint.h>

/* A pipe that carries pages from one socket to another with splice(2). */
struct pipe {
	struct pipe *next_free;
	int read_end;
	int write_end;
	size_t capacity; /* bytes */
	size_t filled;   /* bytes spliced in and not yet out */
};

/* The empty pipes of a worker: making one costs three system calls and two descriptors. */
struct pipe_pool {
	struct pipe *free;
	unsigned int count; /* free */
	uint64_t taken;
	uint64_t most; /* of both together */
};

/*
 * Returns an empty pipe, or NULL when `most` are in use or there are no descriptors or memory for
 * one.
 */
struct pipe *pipe_pool_take(struct pipe_pool *pool);

/* A pipe that still holds bytes is closed, which drops them. NULL is ignored. */
void pipe_pool_give(struct pipe_pool *pool, struct pipe *pipe);

void pipe_pool_clear(struct pipe_pool *pool);

#endif
