/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DIRECT_SETTINGS_H
#define PROXYD_DIRECT_SETTINGS_H

/* What is to be accelerated: from the options of `proxyd accelerate`, from the config, or both. */

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "sidelane/direct.h"

enum direct_mode {
	DIRECT_RUN,
	DIRECT_DRY_RUN, /* --dry-run: say what would be accelerated */
	DIRECT_CLEAR,   /* --clear: end what a killed proxyd has left */
	DIRECT_STATUS,  /* --status: say what is accelerated */
};

#define DIRECT_PROGRAMS_MAX 64

/* Reads its sockets with recv or read alone, no splice(2). */
struct direct_program {
	char name[SL_PROGRAM_NAME];
	bool asks_fionread; /* goes by FIONREAD, so that a wrong answer breaks it */
};

struct direct_settings {
	enum direct_mode mode;
	struct config_acceleration wanted; /* with its defaults */
	/* The ends of proxyd's own flows instead of a cgroup's, pinned by this number; 0: a cgroup
	 */
	uint64_t through;
	uint64_t left; /* DIRECT_CLEAR without a cgroup: the ID of one that is perhaps gone */
	struct sl_direct_filter filter;
	struct direct_program programs[DIRECT_PROGRAMS_MAX];
	unsigned int program_count; /* those that are wanted, and the known ones */
	bool connections;
	bool json;
	bool verbose;
	bool eager;           /* --debug-eager, for tests: whatever is eligible, at once */
	uint64_t duration_ms; /* of a dry run */
};

/*
 * Returns 0, 1 when help was printed, or -EINVAL or -errno when it has said what is wrong. To be
 * freed in any case.
 */
int direct_settings_parse(struct direct_settings *settings, int argc, char **argv);

/*
 * What a config says, whose strings and lists stay its own. Returns 0, or -EINVAL when it has said
 * what is wrong.
 */
int direct_settings_from_config(struct direct_settings *settings,
				const struct config_acceleration *acceleration);

/*
 * For the ends of the flows of the proxyd with that control socket, as the config says, whose
 * strings and lists stay its own. Returns as above.
 */
int direct_settings_for_flows(struct direct_settings *settings, const struct config *config,
			      const char *control);

/* The strings and lists; zeros are fine. */
void direct_settings_clear(struct direct_settings *settings);

#endif
