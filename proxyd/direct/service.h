/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DIRECT_SERVICE_H
#define PROXYD_DIRECT_SERVICE_H

/* Accelerating, from the start to the end: visit the sockets from time to time. */

#include <sys/types.h>

#include "direct/lane.h"

/*
 * Let SIGTERM and SIGINT wait for the functions that follow: what is pinned must not stay behind.
 * Call it before the lane is made.
 */
void service_hold_signals(void);

/*
 * Until SIGTERM or SIGINT; then take everybody out. A cgroup of the same name that is made anew is
 * followed. `notify` is told how far it is: "READY=1", "STOPPING=1". Returns 0 or a negative enum
 * proxy_exit; it has said what went wrong.
 */
int service_run(const struct direct_settings *settings, void (*notify)(const char *state));

/* Enrol nobody, for as long as is wanted. Returns as service_run(). */
int service_watch(struct direct_lane *lane, const struct direct_settings *settings);

/* Take everybody out of what another one has left behind. Returns as service_run(). */
int service_clear(struct direct_lane *lane, const struct direct_settings *settings);

/*
 * In a process of its own, which ends when the caller does: it keeps the capabilities that a proxy
 * drops. Call it before there are threads. Returns its ID, or 0 when the config wants none or there
 * can be none: it has said why, and proxying goes on without.
 */
pid_t service_start(const struct config *config);

/* Ask it to end, and wait until all sockets are out; 0 is ignored. */
void service_stop(pid_t process);

#endif
