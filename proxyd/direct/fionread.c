// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "direct/fionread.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>

#include "probe/trial.h"

#include "fionread_trial.skel.h"

#define TIMEOUT_MS 2000

static int attach(const struct fionread_trial *programs, bool mend)
{
	const int map = bpf_map__fd(programs->maps.sockets);
	int err = bpf_prog_attach(bpf_program__fd(programs->progs.forward), map, BPF_SK_MSG_VERDICT,
				  0);

	if (!err && mend)
		err = bpf_prog_attach(bpf_program__fd(programs->progs.pass), map,
				      BPF_SK_SKB_VERDICT, 0);
	return err;
}

static int enrol(const struct fionread_trial *programs, const struct ends *ends)
{
	const __u64 fds[] = {(__u64)ends->client, (__u64)ends->server};
	int err = 0;

	for (__u32 key = 0; !err && key < 2; key++)
		err = bpf_map_update_elem(bpf_map__fd(programs->maps.sockets), &key, &fds[key],
					  BPF_NOEXIST);
	return err;
}

/* Of `size` bytes, when they have come. */
static int answer(const struct ends *ends, size_t at, size_t size)
{
	struct pollfd readable = {.fd = ends->server, .events = POLLIN};
	int unread = -1;

	if (trial_send(ends->client, at, size) || poll(&readable, 1, TIMEOUT_MS) != 1 ||
	    ioctl(ends->server, SIOCINQ, &unread) || trial_expect(ends->server, at, size))
		return -1;
	return unread;
}

static enum fionread try_on(struct fionread_trial *programs, const struct ends *ends)
{
	const int by_tcp = answer(ends, 0, 100);
	int direct;

	programs->bss->direct = 1;
	direct = answer(ends, 100, 50);
	if (by_tcp < 0 || direct < 0)
		return FIONREAD_UNKNOWN;
	return by_tcp == 100 && direct == 50 ? FIONREAD_RIGHT : FIONREAD_WRONG;
}

static enum fionread try_with(bool mend)
{
	struct fionread_trial *programs = fionread_trial__open_and_load();
	enum fionread result = FIONREAD_UNKNOWN;
	struct trial trial = {.backend = -1};
	struct ends ends = {-1, -1};

	if (programs && !attach(programs, mend) && !trial_listen(&trial) &&
	    !trial_connect(&trial, &ends, true) && !enrol(programs, &ends))
		result = try_on(programs, &ends);
	trial_close(&ends);
	trial_stop(&trial);
	fionread_trial__destroy(programs);
	return result;
}

enum fionread fionread_try(void)
{
	enum fionread result = try_with(false);

	if (result != FIONREAD_WRONG)
		return result;
	return try_with(true) == FIONREAD_RIGHT ? FIONREAD_MENDED : FIONREAD_WRONG;
}
