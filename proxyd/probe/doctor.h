/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DOCTOR_H
#define PROXYD_DOCTOR_H

/*
 * Finds out what this kernel lets proxyd do, by doing it: the behavioural probes send traffic over
 * loopback through a real proxy with one worker, the code that `proxyd run` runs.
 */

#include <stdbool.h>
#include <stddef.h>

enum finding_result {
	FINDING_OK,
	FINDING_FAILED,
	FINDING_NOTE,    /* worth knowing; nothing depends on it here */
	FINDING_SKIPPED, /* could not be tried because something before it failed */
};

/* What a finding matters for. */
enum finding_scope {
	SCOPE_NOTHING,
	SCOPE_KERNEL_LANE,
	SCOPE_RELAY,
};

struct finding {
	const char *name;
	const char *remedy; /* what to do when it failed */
	enum finding_scope scope;
	enum finding_result result;
	char detail[160];
};

#define FINDINGS_MAX 48

struct report {
	struct finding findings[FINDINGS_MAX];
	size_t count;
};

/* Add a finding, FINDING_SKIPPED until it is concluded. */
struct finding *finding_add(struct report *report, const char *name, enum finding_scope scope,
			    const char *remedy);
void finding_conclude(struct finding *finding, enum finding_result result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Fill in the whole report. */
void doctor_examine(struct report *report);

/* Whether every finding of that scope is OK. */
bool report_healthy(const struct report *report, enum finding_scope scope);

/*
 * The behavioural probes of the kernel lane alone, as `proxyd run` makes them at its start. If one
 * fails, returns false and says in `reason` which.
 */
bool doctor_kernel_lane_safe(bool stream_parser, char *reason, size_t size);

#endif
