/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PROXY_H
#define PROXYD_PROXY_H

/* The proxy as a whole: the kernel lane if there is one, the listening sockets, the workers. */

#include "flow/worker.h"
#include "policy/plan.h"
#include "probe/cgroup.h"

/* The exit statuses of `proxyd run`, documented in proxyd(8). */
enum proxy_exit {
	PROXY_EXIT_FAILED = 1,
	PROXY_EXIT_USAGE = 2,
	PROXY_EXIT_LISTEN = 3,
	PROXY_EXIT_CAPABILITY = 4,
	PROXY_EXIT_CONTROL = 5,
	PROXY_EXIT_CGROUP = 6,
	PROXY_EXIT_OUTPUT = 7, /* standard output took not all; of every command */
};

struct proxy {
	/* With the process-wide keys of the config filled in: these hold until the process ends. */
	struct settings settings;
	struct plan *plan; /* what new flows go by */
	bool *listening;   /* by index of the plan's listener: not drained */
	struct proxy_shared shared;
	sem_t obeyed; /* see struct proxy_shared */
	struct room room;
	int64_t more_descriptors; /* than at the start the config has open */
	int cgroup;               /* its directory, where sock_ops is attached; -1: none */
	uint64_t started_ms;
	uint64_t reloads;             /* that were taken on */
	bool direct_lane_failed;      /* it is wanted, and there is none */
	char kernel_lane_reason[384]; /* why there is no kernel lane; empty if there is one */
};

/*
 * Copies the settings and makes a plan of them. This and the following return 0, or a negative enum
 * proxy_exit when they have said what went wrong. Call them in this order.
 */
int proxy_new(const struct settings *settings, struct proxy **out);

/* Load the kernel lane, unless settings->lane is the relay. */
int proxy_open_kernel_lane(struct proxy *proxy);

/* Load the direct lane if settings->direct_lane asks for it; flows do without it if that fails. */
void proxy_open_direct_lane(struct proxy *proxy);

/*
 * Open the access log that the config names, also anew, where it was moved away. Returns 0, or
 * -errno when it has said what went wrong and nothing has changed.
 */
int proxy_open_access_log(struct proxy *proxy);

/* Listen, and make the workers. `ports`, if not NULL, takes each listener's port. */
int proxy_listen(struct proxy *proxy, uint16_t *ports);

/*
 * Go on by another config, which it takes over, in one step: when it returns other than 0 nothing
 * has changed, and it has said why. Live flows are left alone, and so are the sockets of listeners
 * that stay. Returns 0 or -errno.
 */
int proxy_follow(struct proxy *proxy, struct config *config);

/* Accept no more at one listener. Returns 0, -ENOENT, or -ENOMEM. */
int proxy_drain_listener(struct proxy *proxy, const char *name);

/* The plan's upstream of that name, NULL if there is none. */
struct upstream *proxy_upstream(const struct proxy *proxy, const char *name);

/* `ended` is called from each worker's thread when the worker returns. NULL is ignored. */
int proxy_start(struct proxy *proxy, void (*ended)(void *user), void *user);

void proxy_drain(struct proxy *proxy);
void proxy_stop(struct proxy *proxy);

/* Whether all workers have returned. */
bool proxy_ended(const struct proxy *proxy);

/* Wait for the workers to return. */
void proxy_join(struct proxy *proxy);

/* NULL is ignored. */
void proxy_free(struct proxy *proxy);

#endif
