/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DIRECT_SETTINGS_H
#define PROXYD_DIRECT_SETTINGS_H

/* The options of `proxyd accelerate`. */

#include <stdbool.h>
#include <stdint.h>

#include "sidelane/direct.h"

enum direct_mode {
	DIRECT_RUN,
	DIRECT_DRY_RUN, /* --dry-run: say what would be accelerated */
	DIRECT_CLEAR,   /* --clear: end what a killed proxyd has left */
	DIRECT_STATUS,  /* --status: say what is accelerated */
};

#define DIRECT_PIN_DEFAULT  "/sys/fs/bpf"
#define DIRECT_PROGRAMS_MAX 64

/* Reads its sockets with recv or read alone, no splice(2). */
struct direct_program {
	char name[SL_PROGRAM_NAME];
	bool asks_fionread; /* goes by FIONREAD, so that a wrong answer breaks it */
};

struct direct_settings {
	enum direct_mode mode;
	const char *cgroup;
	const char *pin;
	struct sl_direct_filter filter;
	struct direct_program programs[DIRECT_PROGRAMS_MAX];
	unsigned int program_count; /* those of --program, and the known ones */
	bool any_program;
	bool existing;
	bool connections;
	bool json;
	bool verbose;
	bool eager; /* --debug-eager, for tests: whatever is eligible, at once */
	uint64_t interval_ms;
	uint64_t drain_timeout_ms;
	uint64_t duration_ms; /* of a dry run */
};

/* Returns 0, 1 when help was printed, or -EINVAL when it has said what is wrong. */
int direct_settings_parse(struct direct_settings *settings, int argc, char **argv);

#endif
