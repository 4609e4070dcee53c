// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "direct/pinned.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

#define PIN_DEFAULT "/sys/fs/bpf"

/* Of the maps' layout: another one must not be adopted. */
#define LAYOUT 4U

/* Somebody's pinned_sweep() has the lock for a moment. */
#define ATTEMPTS   50
#define ATTEMPT_MS 10

const char *const pinned_maps[PINNED_MAPS] = {"lane", "ends", "records", "totals"};

/* Followed by the layout and the lane's number. */
static const char *const kinds[] = {"sidelane-direct", "sidelane-through"};

/* Returns a descriptor or -errno; -EBUSY: another one has it, -ESTALE: another one has removed it.
 */
static int try_to_open(const char *path, enum direct_mode mode)
{
	struct stat facts;
	int fd, err = 0;

	if (mode == DIRECT_RUN && mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return mode == DIRECT_RUN && errno == ENOENT ? -ESTALE : -errno;
	if (mode != DIRECT_STATUS && flock(fd, LOCK_EX | LOCK_NB))
		err = -EBUSY;
	else if (!fstat(fd, &facts) && !facts.st_nlink)
		err = mode == DIRECT_RUN ? -ESTALE : -ENOENT;
	if (!err)
		return fd;
	close(fd);
	return err;
}

static int find_parent(const char **pin)
{
	struct statfs system;

	if (!*pin)
		*pin = PIN_DEFAULT;
	if (!statfs(*pin, &system) && system.f_type == BPF_FS_MAGIC)
		return 0;
	log_error("--pin %s: not a BPF file system; mount -t bpf bpf %s", *pin, *pin);
	return -EINVAL;
}

int pinned_open(const char *pin, const struct pinned *which, enum direct_mode mode,
		char path[PINNED_PATH])
{
	const struct timespec pause = {.tv_nsec = ATTEMPT_MS * 1000000L};
	int fd = find_parent(&pin);

	if (fd)
		return fd;
	snprintf(path, PINNED_PATH, "%s/%s-%u-%llu", pin, kinds[which->through], LAYOUT,
		 (unsigned long long)which->number);
	for (int i = 0; i < ATTEMPTS; i++) {
		fd = try_to_open(path, mode);
		if (fd != -EBUSY && fd != -ESTALE)
			break;
		nanosleep(&pause, NULL);
	}
	if (fd == -EBUSY)
		log_error("%s: another proxyd %s; stop it first", path,
			  which->through ? "has it" : "accelerates this cgroup");
	else if (fd < 0 && fd != -ENOENT)
		log_error("%s: %s", path, strerror(-fd));
	return fd;
}

void pinned_remove(int directory, const char *path)
{
	for (int i = 0; i < PINNED_MAPS; i++)
		unlinkat(directory, pinned_maps[i], 0);
	rmdir(path);
}

/* Also where it cannot be told. */
static bool has_sockets(const char *path)
{
	char map[PINNED_PATH + 16];
	__u64 cookie;
	bool has;
	int fd;

	snprintf(map, sizeof(map), "%s/%s", path, pinned_maps[0]);
	fd = bpf_obj_get(map);
	if (fd < 0)
		return errno != ENOENT;
	has = !bpf_map_get_next_key(fd, NULL, &cookie) || errno != ENOENT;
	close(fd);
	return has;
}

static bool parse(const char *path, struct pinned *which, unsigned int *layout)
{
	const char *name = strrchr(path, '/') + 1;
	unsigned long long number;
	int length = 0;

	which->through = !strncmp(name, kinds[1], strlen(kinds[1]));
	if (strncmp(name, kinds[which->through], strlen(kinds[which->through])) ||
	    sscanf(name + strlen(kinds[which->through]), "-%u-%llu%n", layout, &number, &length) <
		    2)
		return false;
	which->number = number;
	return !name[strlen(kinds[which->through]) + (size_t)length];
}

/* Whether it is left over and has to be asked about. */
static bool sweep_one(const char *path)
{
	int fd = try_to_open(path, DIRECT_CLEAR);
	bool has;

	if (fd < 0)
		return false;
	has = has_sockets(path);
	if (!has) {
		pinned_remove(fd, path);
		log_notice("%s: removed; a proxyd that is gone has left it", path);
	}
	close(fd);
	return has;
}

int pinned_sweep(const char *pin, const struct pinned *own,
		 void (*found)(const struct pinned *which, const char *path, void *user),
		 void *user)
{
	char pattern[PINNED_PATH];
	glob_t all;
	int err = find_parent(&pin);

	if (err)
		return err;
	snprintf(pattern, sizeof(pattern), "%s/sidelane-*-*-*", pin);
	if (glob(pattern, 0, NULL, &all))
		return 0;
	for (size_t i = 0; i < all.gl_pathc; i++) {
		const char *path = all.gl_pathv[i];
		struct pinned which;
		unsigned int layout;

		if (!parse(path, &which, &layout) || !sweep_one(path))
			continue;
		if (layout != LAYOUT)
			log_notice("%s: left by another version of proxyd; its sockets stay there "
				   "until they are closed, then the next start removes it",
				   path);
		else if (!own || own->through != which.through || own->number != which.number)
			found(&which, path, user);
	}
	globfree(&all);
	return 0;
}
