// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe/capabilities.h"

#include <cap-ng.h>
#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

const struct needed_capability capabilities_needed[] = {
	{CAP_BPF, "CAP_BPF", "to load BPF programs and maps"},
	{CAP_NET_ADMIN, "CAP_NET_ADMIN",
	 "to keep sockets in a SOCKHASH and to size their send buffers"},
	{CAP_PERFMON, "CAP_PERFMON", "to read the destination's TCP state in the verdict program"},
};

const size_t capabilities_needed_count = ARRAY_SIZE(capabilities_needed);

bool capability_held(int number)
{
	capng_get_caps_process();
	return capng_have_capability(CAPNG_EFFECTIVE, (unsigned int)number);
}

size_t capabilities_missing(char *names, size_t size)
{
	size_t missing = 0, used = 0;

	*names = '\0';
	for (size_t i = 0; i < capabilities_needed_count; i++) {
		if (capability_held(capabilities_needed[i].number))
			continue;
		if (used < size)
			used += (size_t)snprintf(names + used, size - used, "%s%s %s",
						 missing ? ", " : "", capabilities_needed[i].name,
						 capabilities_needed[i].purpose);
		missing++;
	}
	return missing;
}

/*
 * CAP_NET_ADMIN: SO_SNDBUFFORCE, SO_MARK; CAP_BPF: map updates where the kernel asks for it (before
 * 5.19 with kernel.unprivileged_bpf_disabled); CAP_NET_BIND_SERVICE, CAP_NET_RAW: a reload may
 * bring a listener below port 1024, or an upstream with an interface (SO_BINDTODEVICE, before 5.7).
 * Loading is over, so CAP_PERFMON goes.
 */
int capabilities_drop(void)
{
	static const int kept[] = {CAP_BPF, CAP_NET_ADMIN, CAP_NET_BIND_SERVICE, CAP_NET_RAW};
	bool held[ARRAY_SIZE(kept)];

	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		held[i] = capability_held(kept[i]);
	capng_clear(CAPNG_SELECT_CAPS);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (held[i])
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
				     (unsigned int)kept[i]);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}
