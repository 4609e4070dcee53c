#pragma once

#include <stdbool.h>

#include "flow/kernel_lane.h"

/*
 * A kernel lane of this process' own, with sock_ops on its cgroup or without. Ends the test as
 * skipped where there can be none.
 */
struct kernel_lane *lane_open(bool sock_ops, uint32_t window);
