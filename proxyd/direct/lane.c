// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "direct/lane.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "direct/fionread.h"
#include "direct/namespaces.h"
#include "direct/pinned.h"
#include "log.h"
#include "probe/capabilities.h"
#include "probe/cgroup.h"

#include "direct_programs.skel.h"

#define SOCKETS_MAX (64 * 1024)

/*
 * Who holds the sockets that are in the lane is asked again after so long; for others, and when a
 * program has begun that is not known, at once. But that takes at most so small shares of a core.
 */
#define OWNERS_MS          1000
#define OWNERS_AGAIN_SHARE 200
#define OWNERS_SHARE       50

/* A record counts as fresh if its end was seen in one of the last two scans. */
#define FRESH_SCANS 2

struct direct_lane {
	struct direct_programs *programs;
	struct bpf_link *scan, *owners;
	struct bpf_link *begins; /* NULL: without it they are asked for less soon */
	struct namespaces *namespaces;
	enum direct_mode mode;
	enum fionread fionread;
	int cgroup;
	int directory; /* where it is pinned; -1: nowhere */
	char path[PINNED_PATH];
	uint64_t began_ns[FRESH_SCANS]; /* of the last scans, the oldest first */
	uint64_t owners_ns;             /* when it was asked who holds the sockets, */
	uint64_t owners_cost_ns;        /* and what of this thread's time that took */
	uint32_t strangers;             /* of those that had begun by then */
};

/* CLOCK_MONOTONIC is what bpf_ktime_get_ns() tells. */
static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static int log_libbpf(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[512];

	(void)level;
	vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = '\0';
	log_debug("libbpf: %s", line);
	return 0;
}

static int open_cgroup(const char *path, int *fd, uint64_t *id)
{
	struct stat facts;

	*fd = cgroup_open(path);
	if (*fd < 0) {
		log_error("cgroup %s: %s; it must be the directory of a cgroup v2 (what was left "
			  "of one that is gone: proxyd accelerate --clear)",
			  path, strerror(-*fd));
		return -EINVAL; /* -ENOENT is what is not pinned */
	}
	if (fstat(*fd, &facts))
		return -errno;
	*id = facts.st_ino; /* kernfs: the inode's number is the id, on 64 bits */
	return 0;
}

static int find_excluded(const struct string_list *paths, struct sl_direct_filter *filter)
{
	int fd, err = 0;

	for (unsigned int i = 0; !err && i < paths->count; i++) {
		uint64_t id = 0;

		err = open_cgroup(paths->items[i], &fd, &id);
		if (fd >= 0)
			close(fd);
		filter->leave_group[filter->leave_groups++] = id;
	}
	return err;
}

static void say_left(const struct pinned *which, const char *path, void *user)
{
	(void)which;
	(void)user;
	log_notice("%s: a proxyd that is gone has left it with sockets of programs; they leave by: "
		   "proxyd accelerate --clear",
		   path);
}

static int open_directory(struct direct_lane *lane, const struct direct_settings *settings,
			  uint64_t cgroup)
{
	const struct pinned own = {
		.through = settings->through != 0,
		.number = settings->through ? settings->through : cgroup,
	};

	if ((lane->mode == DIRECT_RUN || (lane->mode == DIRECT_CLEAR && !settings->left)) &&
	    pinned_sweep(settings->wanted.pin, &own, say_left, NULL))
		return -EINVAL;
	lane->directory = pinned_open(settings->wanted.pin, &own, lane->mode, lane->path);
	return lane->directory < 0 ? lane->directory : 0;
}

static int set_pins(struct direct_lane *lane)
{
	char path[sizeof(lane->path) + 16];
	int err = 0;

	if (lane->directory < 0)
		return 0;
	for (size_t i = 0; !err && i < PINNED_MAPS; i++) {
		snprintf(path, sizeof(path), "%s/%s", lane->path, pinned_maps[i]);
		if (lane->mode != DIRECT_RUN && access(path, F_OK))
			return -errno;
		err = bpf_map__set_pin_path(
			bpf_object__find_map_by_name(lane->programs->obj, pinned_maps[i]), path);
	}
	return err;
}

static void configure(struct direct_programs *programs, const struct direct_settings *settings,
		      uint64_t id, enum fionread fionread)
{
	programs->rodata->cgroup_id = id;
	programs->rodata->through_proxy = settings->through != 0;
	programs->rodata->any_program = (__u8)settings->wanted.any_program;
	programs->rodata->translated = (__u8)settings->wanted.translated;
	programs->rodata->eager = settings->eager;
	programs->rodata->watch_only = settings->mode == DIRECT_DRY_RUN;
	programs->rodata->look_only = settings->mode == DIRECT_STATUS;
	/* Not known now, it may have been when the map was made that is adopted. */
	programs->rodata->mends = fionread != FIONREAD_RIGHT;
	memcpy(&programs->bss->filter, &settings->filter, sizeof(settings->filter));
	programs->bss->leave_old = !settings->wanted.existing && settings->mode == DIRECT_RUN;
	bpf_map__set_max_entries(programs->maps.lane, SOCKETS_MAX);
	bpf_map__set_max_entries(programs->maps.records, SOCKETS_MAX);
	if (!settings->through)
		return;
	bpf_map__set_max_entries(programs->maps.offers, SOCKETS_MAX);
	bpf_map__set_max_entries(programs->maps.offered, 2 * SOCKETS_MAX);
}

static int load(struct direct_lane *lane, const struct direct_settings *settings, uint64_t id)
{
	char missing[256];
	int err;

	lane->programs = direct_programs__open();
	if (!lane->programs)
		return -errno;
	configure(lane->programs, settings, id, lane->fionread);
	err = find_excluded(&settings->wanted.exclude_cgroups, &lane->programs->bss->filter);
	if (!err)
		err = set_pins(lane);
	if (err)
		return err;
	err = direct_programs__load(lane->programs);
	if (!err)
		return 0;
	if (capabilities_missing(missing, sizeof(missing)))
		log_error("cannot load the programs: missing %s", missing);
	else
		log_error("cannot load the programs: %s; this kernel may be too old (--verbose "
			  "says more)",
			  strerror(-err));
	return err;
}

static int fill_programs(const struct direct_lane *lane, const struct direct_settings *settings)
{
	const __u8 yes = 1;
	int err = 0;

	for (unsigned int i = 0; !err && i < settings->program_count; i++)
		if (!settings->programs[i].asks_fionread || lane->fionread <= FIONREAD_MENDED)
			err = bpf_map_update_elem(bpf_map__fd(lane->programs->maps.programs),
						  settings->programs[i].name, &yes, BPF_ANY);
	return err;
}

/* Sockets take the program of the time when they are inserted: attach first. */
static int attach(struct direct_lane *lane, const struct direct_settings *settings)
{
	struct direct_programs *programs = lane->programs;
	int err = fill_programs(lane, settings);

	if (!err && lane->mode == DIRECT_RUN)
		err = bpf_prog_attach(bpf_program__fd(programs->progs.verdict),
				      bpf_map__fd(programs->maps.lane), BPF_SK_MSG_VERDICT, 0);
	if (!err && lane->mode == DIRECT_RUN && lane->fionread == FIONREAD_MENDED)
		err = bpf_prog_attach(bpf_program__fd(programs->progs.mend),
				      bpf_map__fd(programs->maps.lane), BPF_SK_SKB_VERDICT, 0);
	if (err)
		return err;
	lane->scan = bpf_program__attach_iter(programs->progs.scan, NULL);
	if (!lane->scan)
		return -errno;
	lane->owners = bpf_program__attach_iter(programs->progs.owners, NULL);
	if (!lane->owners)
		return -errno;
	if (lane->mode == DIRECT_RUN && !settings->wanted.any_program)
		lane->begins = bpf_program__attach(programs->progs.begins);
	return 0;
}

/* What is left over may have its sockets wherever there are processes. */
static int open_scope(struct direct_lane *lane, const struct direct_settings *settings,
		      uint64_t *id)
{
	if (settings->wanted.cgroup)
		return open_cgroup(settings->wanted.cgroup, &lane->cgroup, id);
	*id = settings->left;
	if (!settings->left)
		return 0;
	lane->cgroup = cgroup_open_root();
	if (lane->cgroup >= 0)
		return 0;
	log_error("cannot find processes by the cgroup v2: %s", strerror(-lane->cgroup));
	return -EIO;
}

static int open_all(struct direct_lane *lane, const struct direct_settings *settings)
{
	uint64_t id = 0;
	int err = open_scope(lane, settings, &id);

	if (!err && lane->mode != DIRECT_DRY_RUN)
		err = open_directory(lane, settings, id);
	if (!err)
		err = load(lane, settings, id);
	if (err)
		return err;
	err = attach(lane, settings);
	if (!err)
		err = namespaces_new(&lane->namespaces);
	if (err)
		log_error("cannot attach the programs: %s", strerror(-err));
	return err;
}

int direct_lane_new(const struct direct_settings *settings, struct direct_lane **out)
{
	struct direct_lane *lane = calloc(1, sizeof(*lane));
	int err;

	if (!lane)
		return -ENOMEM;
	libbpf_set_print(log_libbpf);
	lane->mode = settings->mode;
	lane->cgroup = -1;
	lane->directory = -1;
	lane->fionread = FIONREAD_UNKNOWN;
	if (settings->mode != DIRECT_STATUS)
		lane->fionread = fionread_try();
	err = open_all(lane, settings);
	if (err) {
		direct_lane_free(lane);
		return err;
	}
	if (lane->mode == DIRECT_CLEAR)
		direct_lane_stop(lane);
	*out = lane;
	return 0;
}

void direct_lane_free(struct direct_lane *lane)
{
	if (!lane)
		return;
	bpf_link__destroy(lane->scan);
	bpf_link__destroy(lane->owners);
	bpf_link__destroy(lane->begins);
	direct_programs__destroy(lane->programs);
	namespaces_free(lane->namespaces);
	if (lane->cgroup >= 0)
		close(lane->cgroup);
	if (lane->directory >= 0)
		close(lane->directory);
	free(lane);
}

void direct_lane_stop(struct direct_lane *lane)
{
	lane->programs->bss->stopping = 1;
}

void direct_lane_resume(struct direct_lane *lane)
{
	lane->programs->bss->stopping = 0;
}

int direct_lane_offers(const struct direct_lane *lane)
{
	return bpf_map__fd(lane->programs->maps.offers);
}

struct reading {
	const struct bpf_link *link;
	void (*list)(const struct sl_sighting *sighting, void *user);
	void *user;
};

/* Make the iterator go round: the caller's network namespace is that of its creation. */
static int read_iterator(void *user)
{
	const struct reading *reading = user;
	int fd = bpf_iter_create(bpf_link__fd(reading->link));
	struct sl_sighting sightings[64];
	size_t have = 0;
	ssize_t n;

	if (fd < 0)
		return fd;
	for (;;) {
		n = read(fd, (char *)sightings + have, sizeof(sightings) - have);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
		for (size_t i = 0; reading->list && i < have / sizeof(sightings[0]); i++)
			reading->list(&sightings[i], reading->user);
		memmove(sightings,
			(char *)sightings + have / sizeof(sightings[0]) * sizeof(sightings[0]),
			have % sizeof(sightings[0]));
		have %= sizeof(sightings[0]);
	}
	n = n < 0 ? -errno : 0;
	close(fd);
	return (int)n;
}

struct visiting {
	struct reading reading;
	const struct direct_programs__bss *shared;
};

/* One that has sockets in the lane is to be found again, also when its processes have gone. */
static int visit_namespace(void *user)
{
	struct visiting *visiting = user;
	const uint32_t before = visiting->shared->enrolled;
	int err = read_iterator(&visiting->reading);

	return err ? err : visiting->shared->enrolled != before;
}

/* The clock numbers the passes, so that no number comes twice, whoever did the one before. */
static int ask_for_owners(struct direct_lane *lane, uint64_t now)
{
	struct reading reading = {.link = lane->owners};
	uint64_t began = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	int err;

	lane->owners_ns = now;
	lane->strangers = lane->programs->bss->strangers;
	lane->programs->bss->owners_pass = (uint32_t)(now / 1000000);
	err = read_iterator(&reading);
	lane->owners_cost_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - began;
	return err;
}

static bool owners_due(const struct direct_lane *lane, uint64_t now)
{
	const struct direct_programs__bss *shared = lane->programs->bss;
	uint64_t since = now - lane->owners_ns;
	bool asked = shared->owners_wanted || shared->strangers != lane->strangers;

	if (lane->mode == DIRECT_STATUS || lane->mode == DIRECT_CLEAR)
		return false;
	if (!asked && (lane->programs->rodata->any_program || since < OWNERS_MS * 1000000ULL))
		return false;
	if (lane->programs->rodata->eager)
		return true;
	return since >= lane->owners_cost_ns * (asked ? OWNERS_SHARE : OWNERS_AGAIN_SHARE);
}

static void begin_scan(struct direct_lane *lane, bool listing)
{
	struct direct_programs__bss *shared = lane->programs->bss;

	shared->fresh_ns = lane->began_ns[0];
	memmove(lane->began_ns, lane->began_ns + 1, sizeof(lane->began_ns) - sizeof(uint64_t));
	lane->began_ns[FRESH_SCANS - 1] = clock_ns(CLOCK_MONOTONIC);
	shared->listing = listing;
	shared->owners_wanted = 0;
	shared->restless = 0;
	shared->enrolled = 0;
	memset(shared->counts, 0, sizeof(shared->counts));
}

int direct_lane_scan(struct direct_lane *lane, struct direct_counts *counts,
		     void (*list)(const struct sl_sighting *sighting, void *user), void *user)
{
	struct direct_programs__bss *shared = lane->programs->bss;
	struct visiting visiting = {{.link = lane->scan, .list = list, .user = user}, shared};
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	int err;

	if (owners_due(lane, now)) {
		err = ask_for_owners(lane, now);
		if (err)
			return err;
	}
	if (lane->cgroup >= 0)
		namespaces_refresh(lane->namespaces, lane->cgroup);
	begin_scan(lane, list != NULL);
	err = namespaces_visit(lane->namespaces, visit_namespace, &visiting);
	shared->leave_old = 0;
	for (int i = 0; i < SL_REASONS; i++)
		counts->reasons[i] = shared->counts[i];
	counts->restless = shared->restless + shared->owners_wanted;
	return err;
}

int direct_lane_enrolled(const struct direct_lane *lane)
{
	int map = bpf_map__fd(lane->programs->maps.lane);
	__u64 key, next;
	int count = 0;

	for (void *from = NULL; !bpf_map_get_next_key(map, from, &next); from = &key) {
		key = next;
		count++;
	}
	return errno == ENOENT ? count : -errno;
}

int direct_lane_totals(const struct direct_lane *lane, struct sl_direct_totals *totals)
{
	int cpus = libbpf_num_possible_cpus();
	struct sl_direct_totals *each = cpus > 0 ? calloc((size_t)cpus, sizeof(*each)) : NULL;
	__u32 zero = 0;
	int err;

	memset(totals, 0, sizeof(*totals));
	if (!each)
		return -ENOMEM;
	err = bpf_map_lookup_elem(bpf_map__fd(lane->programs->maps.totals), &zero, each);
	for (int i = 0; !err && i < cpus; i++) {
		for (int verdict = 0; verdict < 4; verdict++)
			totals->messages[verdict] += each[i].messages[verdict];
		totals->direct += each[i].direct;
		totals->through[0] += each[i].through[0];
		totals->through[1] += each[i].through[1];
		totals->passed += each[i].passed;
		totals->vanished += each[i].vanished;
	}
	free(each);
	return err;
}

void direct_lane_unpin(struct direct_lane *lane)
{
	if (lane->directory >= 0)
		pinned_remove(lane->directory, lane->path);
}

const char *direct_lane_path(const struct direct_lane *lane)
{
	return lane->path;
}

bool direct_lane_running(const struct direct_lane *lane)
{
	if (flock(lane->directory, LOCK_SH | LOCK_NB))
		return true;
	flock(lane->directory, LOCK_UN);
	return false;
}
