/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_SETTINGS_H
#define PROXYD_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "config/address.h"
#include "config/config.h"

#define SETTINGS_ADDRESSES_MAX 64

struct address_list {
	struct address items[SETTINGS_ADDRESSES_MAX];
	unsigned int count;
};

/* What `proxyd run` was asked to do. Times in milliseconds, sizes in bytes. */
struct settings {
	const char *config_path; /* NULL: the options are all there is */
	unsigned int given;      /* a bit for each option, as settings_apply() takes them */
	struct address_list listen;
	struct address_list upstream;
	uint64_t workers; /* 0: one a core */
	enum lane_choice lane;
	uint64_t window;
	const char *control; /* path of the control socket */
	const char *cgroup;  /* where to attach sock_ops; NULL: the one that holds proxyd */
	bool direct_lane;
	const char *pin;
	uint64_t connect_timeout;
	uint64_t idle_timeout; /* 0: none */
	uint64_t drain_timeout;
	bool stream_parser; /* attach sk_skb with a stream parser */
	bool switch_lanes;  /* move flows between lanes at random, for tests */
	uint64_t switch_seed;
	bool direct_eager; /* every flow that is eligible goes to the direct lane, for tests */
	bool probe;        /* try the kernel lane out before it is used */
	bool verbose;
	int ready; /* a descriptor that is written to once connections are accepted; -1: none */
};

#define SETTINGS_CONTROL_DEFAULT "/run/proxyd/control.sock"

void settings_init(struct settings *settings);

/*
 * Read `proxyd run`'s options. Returns 0; 1 when the help was asked for and printed; -EINVAL when
 * something is wrong, which it has then said.
 */
int settings_parse(struct settings *settings, int argc, char **argv);

#define SETTINGS_ALL (~0U)

/* Put what options say of keys of the file's top level into a config. Returns 0 or -ENOMEM. */
int settings_apply(const struct settings *settings, unsigned int which, struct config *config);

/*
 * The config that is asked for. With config_path: what the file says, but for what options say that
 * were given. Else what the options stand for: a listener for each --listen (listener-1,
 * listener-2, ...), one upstream with an endpoint for each --upstream, and a route to it. Logs what
 * is wrong, and what there is to know of the file. Returns 0, -EINVAL, -errno of reading the file,
 * or -ENOMEM.
 */
int config_from_settings(const struct settings *settings, struct config **out);

const char *lane_choice_name(enum lane_choice lane);

#endif
