// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/pins.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "intake/ruleset.h"

int pins_path(char path[PIN_SIZE], const char *format, ...)
{
	struct stat netns;
	va_list values;
	int length;

	if (stat("/proc/self/ns/net", &netns))
		return -errno;
	length = snprintf(path, PIN_SIZE, RULESET_PINS RULESET_PREFIX "%llx_",
			  (unsigned long long)netns.st_ino);
	va_start(values, format);
	vsnprintf(path + length, PIN_SIZE - (size_t)length, format, values);
	va_end(values);
	return 0;
}

int pins_restore(const char *path, const struct bpf_link *link)
{
	if (!*path || !access(path, F_OK))
		return 0;
	return bpf_obj_pin(bpf_link__fd(link), path) ? -errno : 0;
}

/* The kernel detaches what was attached to a cgroup or a network namespace that is gone. */
static bool is_stale(const char *path)
{
	struct bpf_link_info info = {0};
	uint32_t size = sizeof(info);
	int fd = bpf_obj_get(path);
	bool known = fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &size);

	if (fd >= 0)
		close(fd);
	return known && ((info.type == BPF_LINK_TYPE_CGROUP && !info.cgroup.cgroup_id) ||
			 (info.type == BPF_LINK_TYPE_NETNS && !info.netns.netns_ino));
}

int pins_remove(const char *pattern, unsigned int *count)
{
	glob_t pins;
	int err = glob(RULESET_PINS RULESET_PREFIX "*", 0, NULL, &pins);

	*count = 0;
	if (err)
		return err == GLOB_NOMATCH ? 0 : -EIO;
	for (size_t i = 0; i < pins.gl_pathc; i++)
		if (!fnmatch(pattern, pins.gl_pathv[i], 0) || is_stale(pins.gl_pathv[i]))
			*count += !unlink(pins.gl_pathv[i]);
	globfree(&pins);
	return 0;
}

int pins_clear(unsigned int *count)
{
	char pattern[PIN_SIZE];
	int err = pins_path(pattern, "*");

	return err ? err : pins_remove(pattern, count);
}
