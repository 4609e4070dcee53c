// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/kernel_lane.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow/splicer.h"
#include "log.h"
#include "sidelane.skel.h"

static int log_libbpf(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[512];

	(void)level;
	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = '\0';
	log_debug("libbpf: %s", line);
	return 0;
}

/* SO_REUSEPORT spreads flows unevenly: each worker gets room for twice its share. */
static uint32_t share(const struct kernel_lane_options *options)
{
	uint32_t fair = options->flows_max / options->workers + 1;

	return options->workers == 1 ? options->flows_max : 2 * fair;
}

static int size_maps(struct sidelane *programs, const struct kernel_lane_options *options)
{
	uint32_t sockets = 2 * options->flows_max;
	int err = bpf_map__set_max_entries(programs->maps.sockets, sockets);

	if (!err)
		err = bpf_map__set_max_entries(programs->maps.ledgers, sockets);
	if (!err)
		err = bpf_map__set_max_entries(programs->maps.peers, sockets);
	if (!err)
		err = bpf_map__set_max_entries(programs->maps.published,
					       2 * options->workers * share(options));
	return err;
}

static int load(struct kernel_lane *lane, bool kern_ctx)
{
	struct sidelane *programs = sidelane__open();
	int err;

	if (!programs)
		return -errno;
	programs->rodata->has_kern_ctx = kern_ctx;
	programs->rodata->has_stream_parser = lane->options.hook == SKB_HOOK_PARSER;
	err = size_maps(programs, &lane->options);
	if (!err && lane->options.cgroup < 0)
		err = bpf_program__set_autoload(programs->progs.enrol, false);
	if (!err && lane->options.hook != SKB_HOOK_PARSER)
		err = bpf_program__set_autoload(programs->progs.parser, false);
	if (!err)
		err = sidelane__load(programs);
	if (err) {
		sidelane__destroy(programs);
		return err;
	}
	lane->programs = programs;
	lane->sockets = bpf_map__fd(programs->maps.sockets);
	lane->ledgers = bpf_map__fd(programs->maps.ledgers);
	lane->peers = bpf_map__fd(programs->maps.peers);
	lane->wakeups = bpf_map__fd(programs->maps.wakeups);
	return 0;
}

/* Sockets inherit the programs when they are inserted: attach first. */
static int attach(struct kernel_lane *lane)
{
	int map = bpf_map__fd(lane->programs->maps.sockets);
	int verdict = bpf_program__fd(lane->programs->progs.verdict);
	int err;

	if (lane->options.hook == SKB_HOOK_VERDICT) {
		err = bpf_prog_attach(verdict, map, BPF_SK_SKB_VERDICT, 0);
	} else {
		err = bpf_prog_attach(bpf_program__fd(lane->programs->progs.parser), map,
				      BPF_SK_SKB_STREAM_PARSER, 0);
		if (!err)
			err = bpf_prog_attach(verdict, map, BPF_SK_SKB_STREAM_VERDICT, 0);
	}
	if (err || lane->options.cgroup < 0)
		return err;
	lane->sock_ops =
		bpf_program__attach_cgroup(lane->programs->progs.enrol, lane->options.cgroup);
	return lane->sock_ops ? 0 : -errno;
}

static bool unsent_limited(void)
{
	FILE *file = fopen("/proc/sys/net/ipv4/tcp_notsent_lowat", "re");
	unsigned long limit;
	bool limited;

	if (!file)
		return true;
	limited = fscanf(file, "%lu", &limit) != 1 || limit < INT32_MAX;
	fclose(file);
	return limited;
}

static int map_published(struct kernel_lane *lane)
{
	const struct bpf_map *map = lane->programs->maps.published;
	long page = sysconf(_SC_PAGESIZE);
	size_t size = (size_t)bpf_map__max_entries(map) * sizeof(struct sl_published);
	void *memory;

	size = (size + (size_t)page - 1) / (size_t)page * (size_t)page;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
	if (memory == MAP_FAILED)
		return -errno;
	lane->published = memory;
	lane->published_size = size;
	return 0;
}

int kernel_lane_new(const struct kernel_lane_options *options, struct kernel_lane **out,
		    const char **step)
{
	struct kernel_lane *lane = calloc(1, sizeof(*lane));
	int err;

	*step = "allocate";
	if (!lane)
		return -ENOMEM;
	lane->options = *options;
	lane->pairs_per_worker = share(options);
	lane->unsent_limited = unsent_limited();
	libbpf_set_print(log_libbpf);
	*step = "load the programs";
	err = load(lane, true);
	/* Without a parser segments must be trimmed, which needs the kernel's own context. */
	if (err && err != -EPERM && options->hook == SKB_HOOK_PARSER)
		err = load(lane, false);
	if (!err) {
		*step = "attach the programs";
		err = attach(lane);
	}
	if (!err) {
		*step = "map the ledger";
		err = map_published(lane);
	}
	if (err) {
		kernel_lane_free(lane);
		return err;
	}
	*out = lane;
	return 0;
}

void kernel_lane_free(struct kernel_lane *lane)
{
	if (!lane)
		return;
	if (lane->published)
		munmap(lane->published, lane->published_size);
	bpf_link__destroy(lane->sock_ops);
	sidelane__destroy(lane->programs);
	free(lane);
}

int kernel_lane_totals(const struct kernel_lane *lane, struct sl_totals *sums)
{
	int cpus = libbpf_num_possible_cpus();
	struct sl_totals *each;
	uint32_t zero = 0;
	int err;

	memset(sums, 0, sizeof(*sums));
	if (cpus < 0)
		return cpus;
	each = calloc((size_t)cpus, sizeof(*each));
	if (!each)
		return -ENOMEM;
	err = bpf_map_lookup_elem(bpf_map__fd(lane->programs->maps.totals), &zero, each);
	for (int i = 0; !err && i < cpus; i++) {
		sums->bytes[SL_UP] += each[i].bytes[SL_UP];
		sums->bytes[SL_DOWN] += each[i].bytes[SL_DOWN];
		sums->window_stalls += each[i].window_stalls;
		sums->no_peer += each[i].no_peer;
		sums->events_lost += each[i].events_lost;
		sums->enrolled += each[i].enrolled;
		sums->not_enrolled += each[i].not_enrolled;
	}
	free(each);
	return err;
}

/*
 * A send buffer of a quarter more than the window: what the verdict program lets through always
 * finds room, so that the backlog is never stuck behind a slow reader. That matters beyond speed:
 * the skbs that the destination itself passes to proxyd queue behind its backlog
 * (sk_psock_verdict_apply, 6.18), and both directions would wait for each other.
 */
int kernel_lane_size_buffer(const struct kernel_lane *lane, int fd)
{
	int size = (int)(lane->options.window / 8 * 5); /* the kernel doubles it (socket(7)) */
	int unlimited = INT32_MAX;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		return -errno;
	/* A low limit of unsent bytes would hold the backlog back as a full buffer does. */
	if (lane->unsent_limited &&
	    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unlimited, sizeof(unlimited)))
		return -errno;
	return 0;
}

int kernel_lane_claim(const struct kernel_lane *lane, int fd)
{
	const __u8 yes = 1;
	int err = kernel_lane_size_buffer(lane, fd);

	return err ? err
		   : bpf_map_update_elem(bpf_map__fd(lane->programs->maps.proxied), &fd, &yes,
					 BPF_ANY);
}

void kernel_lane_close(const struct kernel_lane *lane, int fd)
{
	uint64_t cookie = kernel_lane_enrols(lane) ? splicer_cookie(fd) : 0;

	close(fd);
	if (cookie)
		bpf_map_delete_elem(lane->ledgers, &cookie);
}
