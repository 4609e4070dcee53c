// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "flow/pipe_pool.h"
#include "unit/descriptors.h"

Test(pipe_pool, gives_pipes_that_never_block)
{
	struct pipe_pool pool = {.most = 100};
	struct pipe *pipe = pipe_pool_take(&pool);
	char bytes[4096] = "hello";
	size_t written = 0;
	ssize_t count;

	cr_assert(pipe);
	cr_assert_eq(pipe->filled, 0);
	cr_assert_eq(read(pipe->read_end, bytes, 1), -1);
	cr_assert_eq(errno, EAGAIN);
	while ((count = write(pipe->write_end, bytes, sizeof(bytes))) > 0)
		written += (size_t)count;
	cr_assert_eq(errno, EAGAIN);
	cr_assert_eq(written, pipe->capacity, "%zu bytes fit, it says %zu", written,
		     pipe->capacity);
	cr_assert(fcntl(pipe->read_end, F_GETFD) & FD_CLOEXEC);
	cr_assert(fcntl(pipe->write_end, F_GETFD) & FD_CLOEXEC);
	pipe_pool_give(&pool, pipe);
	pipe_pool_clear(&pool);
}

Test(pipe_pool, gives_an_empty_pipe_again)
{
	struct pipe_pool pool = {.most = 100};
	struct pipe *first = pipe_pool_take(&pool), *second = pipe_pool_take(&pool);

	cr_assert(first && second);
	cr_assert_neq(first, second);
	pipe_pool_give(&pool, first);
	cr_assert_eq(pool.count, 1);
	cr_assert_eq(pipe_pool_take(&pool), first);
	cr_assert_eq(pool.count, 0);
	pipe_pool_give(&pool, second);
	pipe_pool_give(&pool, first);
	pipe_pool_clear(&pool);
	cr_assert_eq(pool.count, 0);
	cr_assert_null(pool.free);
}

/* What one flow left in a pipe must never reach another. */
Test(pipe_pool, closes_a_pipe_that_still_holds_bytes)
{
	struct pipe_pool pool = {.most = 100};
	int before = open_descriptors();
	struct pipe *pipe = pipe_pool_take(&pool);

	cr_assert(pipe);
	cr_assert_eq(write(pipe->write_end, "secret", 6), 6);
	pipe->filled = 6;
	pipe_pool_give(&pool, pipe);
	cr_assert_eq(pool.count, 0);
	cr_assert_eq(open_descriptors(), before);
}

Test(pipe_pool, keeps_no_more_than_a_few)
{
	struct pipe_pool pool = {.most = 100};
	struct pipe *pipes[100];
	int before = open_descriptors();

	for (int i = 0; i < 100; i++)
		cr_assert(pipes[i] = pipe_pool_take(&pool));
	cr_assert_eq(open_descriptors(), before + 200);
	for (int i = 0; i < 100; i++)
		pipe_pool_give(&pool, pipes[i]);
	cr_assert_lt(pool.count, 100);
	cr_assert_gt(pool.count, 0);
	cr_assert_eq(open_descriptors(), before + 2 * (int)pool.count);
	pipe_pool_clear(&pool);
	cr_assert_eq(open_descriptors(), before);
}

/* Pipes must not take the descriptors that flows are promised. */
Test(pipe_pool, gives_no_more_than_its_share)
{
	struct pipe_pool pool = {.most = 2};
	struct pipe *first = pipe_pool_take(&pool), *second = pipe_pool_take(&pool);

	cr_assert(first && second);
	cr_assert_null(pipe_pool_take(&pool));
	pipe_pool_give(&pool, first);
	cr_assert_eq(pipe_pool_take(&pool), first);
	cr_assert_null(pipe_pool_take(&pool));
	/* One that is closed makes room, too. */
	first->filled = 1;
	pipe_pool_give(&pool, first);
	first = pipe_pool_take(&pool);
	cr_assert(first);
	cr_assert_null(pipe_pool_take(&pool));
	pipe_pool_give(&pool, first);
	pipe_pool_give(&pool, second);
	pipe_pool_clear(&pool);
}

Test(pipe_pool, gives_none_when_descriptors_are_out)
{
	struct pipe_pool pool = {.most = 100};
	struct rlimit limit;
	struct pipe *pipe;

	cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = 3;
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	pipe = pipe_pool_take(&pool);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	cr_assert_null(pipe);
	cr_assert_eq(pool.count, 0);
}

Test(pipe_pool, ignores_no_pipe)
{
	struct pipe_pool pool = {.most = 100};

	pipe_pool_give(&pool, NULL);
	pipe_pool_clear(&pool);
	cr_assert_eq(pool.count, 0);
}
