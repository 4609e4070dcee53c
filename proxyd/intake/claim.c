// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "intake/claim.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "claim_reader.skel.h"
#include "probe/netns.h"
#include "sidelane/intercept.h"

struct claims {
	atomic_uint references;
	struct claim_reader *programs;
	struct bpf_link *link;
	int clients; /* claims_share() */
};

int claims_new(struct claims **out)
{
	struct claims *claims = calloc(1, sizeof(*claims));
	libbpf_print_fn_t print;
	int err = 0;

	if (!claims)
		return -ENOMEM;
	atomic_init(&claims->references, 1);
	claims->clients = -1;
	/* Whether anybody will miss it is not known yet. */
	print = libbpf_set_print(NULL);
	claims->programs = claim_reader__open_and_load();
	if (claims->programs)
		claims->link = bpf_program__attach_iter(claims->programs->progs.list_claims, NULL);
	if (!claims->link)
		err = -errno;
	libbpf_set_print(print);
	if (err)
		claims_unref(claims);
	else
		*out = claims;
	return err;
}

void claims_share(struct claims *claims, int clients)
{
	if (claims && claims->clients < 0)
		claims->clients = fcntl(clients, F_DUPFD_CLOEXEC, 0);
}

int claims_shared(const struct claims *claims)
{
	return claims ? claims->clients : -1;
}

struct claims *claims_ref(struct claims *claims)
{
	if (claims)
		atomic_fetch_add_explicit(&claims->references, 1, memory_order_relaxed);
	return claims;
}

void claims_unref(struct claims *claims)
{
	if (!claims || atomic_fetch_sub_explicit(&claims->references, 1, memory_order_acq_rel) != 1)
		return;
	if (claims->clients >= 0)
		close(claims->clients);
	bpf_link__destroy(claims->link);
	claim_reader__destroy(claims->programs);
	free(claims);
}

/*
 * Whether a process other than this one has it. If this one had it already, whoever came after
 * gives up.
 */
static bool is_taken(struct claims *claims, const struct sl_claim *own)
{
	int fd = claims ? bpf_iter_create(bpf_link__fd(claims->link)) : -1;
	unsigned int ours = 0, others = 0;
	struct sl_claim seen;
	ssize_t n;

	/* Whole ones: where the next does not fit in, the kernel keeps it (bpf_seq_read, 5.8). */
	while (fd >= 0 && ((n = read(fd, &seen, sizeof(seen))) == sizeof(seen) ||
			   (n < 0 && (errno == EAGAIN || errno == EINTR)))) {
		if (n < 0 || seen.netns != own->netns || seen.cgroup != own->cgroup ||
		    seen.family != own->family)
			continue;
		if (seen.pid_namespace == own->pid_namespace && seen.process == own->process)
			ours++;
		else
			others++;
	}
	if (fd >= 0)
		close(fd);
	return others && ours < 2;
}

/* First say it, then ask: of two that do so at a time one at least sees the other. */
static int take(struct claims *claims, const struct sl_claim *own, int *out)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_QUEUE, SL_CLAIM_MAP, 0, sizeof(*own), 1, NULL);

	if (fd < 0)
		return fd;
	if (bpf_map_update_elem(fd, NULL, own, BPF_ANY) || is_taken(claims, own)) {
		close(fd);
		return -EADDRINUSE;
	}
	*out = fd;
	return 0;
}

int claim_take(struct claim *claim, struct claims *claims, int cgroup,
	       const struct address *address, int *family)
{
	const bool takes[2] = {address->any.sa_family == AF_INET || address_is_any(address),
			       address->any.sa_family == AF_INET6};
	struct sl_claim own = {.process = (uint32_t)getpid()};
	struct stat directory, pid_namespace;
	uint64_t netns;
	int err = netns_cookie(&netns);

	if (err)
		return err;
	if (fstat(cgroup, &directory) || stat("/proc/self/ns/pid", &pid_namespace))
		return -errno;
	own.netns = netns;
	own.cgroup = directory.st_ino;
	own.pid_namespace = pid_namespace.st_ino;
	for (int i = 0; !err && i < 2; i++) {
		*family = i ? AF_INET6 : AF_INET;
		own.family = (uint32_t)*family;
		if (takes[i] && claim->fds[i] < 0)
			err = take(claims, &own, &claim->fds[i]);
	}
	return err;
}

void claim_drop(struct claim *claim)
{
	for (int i = 0; i < 2; i++) {
		if (claim->fds[i] >= 0)
			close(claim->fds[i]);
		claim->fds[i] = -1;
	}
}
