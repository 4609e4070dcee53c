// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "unit/lane.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "probe/capabilities.h"
#include "probe/cgroup.h"
#include "unit/need.h"

struct kernel_lane *lane_open(bool sock_ops, uint32_t window)
{
	struct kernel_lane_options options = {
		.workers = 1, .flows_max = 100, .window = window, .cgroup = -1};
	struct kernel_lane *lane = NULL;
	const char *step = "";
	char missing[128];
	int err;

	if (capabilities_missing(missing, sizeof(missing)))
		skip_test("missing %s", missing);
	if (sock_ops) {
		options.cgroup = cgroup_open(NULL);
		if (options.cgroup < 0)
			skip_test("no cgroup v2: %s", strerror(-options.cgroup));
	}
	err = kernel_lane_new(&options, &lane, &step);
	if (err == -EPERM)
		skip_test("cannot %s: %s", step, strerror(EPERM));
	cr_assert_eq(err, 0, "cannot %s: %s", step, strerror(-err));
	if (sock_ops)
		close(options.cgroup);
	return lane;
}
