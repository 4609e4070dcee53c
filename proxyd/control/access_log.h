/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_ACCESS_LOG_H
#define PROXYD_ACCESS_LOG_H

/*
 * A line for each flow that has ended. Workers leave what is to be said in a queue, which never
 * holds them up: where it is full the line is dropped, and counted. A thread of its own writes.
 */

#include <jansson.h>
#include <stdbool.h>
#include <time.h>

#include "config/config.h"
#include "flow/account.h"

struct access_log;

/* What is said of a flow. */
struct access_entry {
	struct account account; /* age_ms, idle_ms, lanes and reasons are not said */
	struct timespec time;   /* CLOCK_REALTIME: of its end */
	uint64_t duration_us;
	uint64_t connect_us; /* if it was opened */
	const char *detail;  /* of the fault; must stay for ever; NULL: none */
	uint8_t fault;       /* 1 + enum error_kind; 0: none */
	uint8_t ended_by;    /* 1 + enum side: who sent the first FIN; 0: nobody */
	bool opened;
};

/* The line, without its end: to be freed. NULL: no memory. */
char *access_line(const struct access_entry *entry);

/* An access log that is off. Returns 0 or -ENOMEM. */
int access_log_new(struct access_log **out);

/* Write what waits, for a second at most where the target does not take it. NULL is fine. */
void access_log_free(struct access_log *log);

/* Where it is to be written, opened or created. */
struct access_target {
	int fd; /* -1: nowhere */
	bool is_file;
	char *name;
	bool failed_only;
};

/* Returns 0, or -errno when it has said what is wrong. */
int access_target_open(const struct config_access_log *config, struct access_target *out);
void access_target_close(struct access_target *target);

/* Have all that it takes to go on there. Main thread. Returns 0, or -errno when it has said why. */
int access_log_prepare(struct access_log *log, const struct access_target *target);

/*
 * Go on there, with a target that it takes over. Main thread. Returns 0, or as
 * access_log_prepare(), after whose success it cannot fail.
 */
int access_log_follow(struct access_log *log, struct access_target *target);

/* Whether flows are to be recorded. Any thread. */
bool access_log_wants(const struct access_log *log);

/* Any thread. */
void access_log_put(struct access_log *log, const struct access_entry *entry);

/* For `proxyd status`. */
json_t *access_log_json(struct access_log *log);

#endif
