// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The table's part about `acceleration`, by which the options of `proxyd accelerate` go too. */
#include "config/schema_parts.h"
#include "sidelane/direct.h"

#define ACCELERATION(member) FIELD(struct config_acceleration, member)

static const struct schema_choice yes[] = {{"true", 1, ""}, {0}};

static const struct schema_key acceleration_keys[] = {
	{"cgroup", "Directory of the cgroup v2 that holds the processes, with all below it.",
	 .type = &value_path, ACCELERATION(cgroup), .required = true, .restart = true,
	 .example = "/sys/fs/cgroup/system.slice"},
	{"exclude_cgroups", "Not the sockets of these, with all below them.", .type = &value_paths,
	 ACCELERATION(exclude_cgroups), .otherwise = "none", .restart = true},
	{"addresses", "Only connections with one of these addresses at either end.",
	 .type = &value_cidrs, ACCELERATION(addresses), .otherwise = "all", .restart = true},
	{"exclude_addresses", "Not those with one of these; goes before `addresses`.",
	 .type = &value_cidrs, ACCELERATION(exclude_addresses), .otherwise = "none",
	 .restart = true},
	{"ports", "Only connections with one of these ports at either end.", .type = &value_ranges,
	 ACCELERATION(ports), .otherwise = "all", .restart = true, .min = 1, .max = 65535,
	 .example = "6379 or 8000-8010"},
	{"exclude_ports", "Not those with one of these; goes before `ports`.",
	 .type = &value_ranges, ACCELERATION(exclude_ports), .otherwise = "none", .restart = true,
	 .min = 1, .max = 65535, .example = "6379 or 8000-8010"},
	{"uids", "Only sockets of these user IDs.", .type = &value_ranges, ACCELERATION(users),
	 .otherwise = "all", .restart = true, .max = UINT32_MAX - 1,
	 .example = "1000 or 100000-165535"},
	{"exclude_uids", "Not those of these; goes before `uids`.", .type = &value_ranges,
	 ACCELERATION(exclude_users), .otherwise = "none", .restart = true, .max = UINT32_MAX - 1,
	 .example = "1000 or 100000-165535"},
	{"programs",
	 "Programs, by the names of their files, that read their sockets with recv(2) or read(2) "
	 "alone, besides those that are known (`proxyd accelerate --help` lists them).",
	 .type = &value_names, ACCELERATION(programs), .otherwise = "none", .restart = true},
	{"any_program",
	 "Take every program. One that uses splice(2) on an accelerated socket hangs.",
	 .type = &value_true, ACCELERATION(any_program),
	 .otherwise = "only programs that are known", .restart = true, .choices = yes},
	{"translated",
	 "Take connections whose addresses are translated (NAT), too; what translates them forgets "
	 "one that sends nothing by TCP for longer than its timeout.",
	 .type = &value_true, ACCELERATION(translated), .otherwise = "they are left alone",
	 .restart = true, .choices = yes},
	{"existing", "Take connections that are there at the start, too.", .type = &value_true,
	 ACCELERATION(existing), .otherwise = "they are left alone", .restart = true,
	 .choices = yes},
	{"interval",
	 "Between two looks at all sockets; longer where a look would take more than a fiftieth of "
	 "a core.",
	 .type = &value_time, ACCELERATION(interval), .otherwise = "100ms", .restart = true,
	 .min = 1, .max = HOUR},
	{"drain_timeout", "At the end, for sockets to leave the lane.", .type = &value_time,
	 ACCELERATION(drain_timeout), .otherwise = "30s", .restart = true, .min = 1,
	 .max = TIME_MAX},
	{"pin", "A BPF file system, for what must outlive proxyd.", .type = &value_path,
	 ACCELERATION(pin), .otherwise = "`/sys/fs/bpf`", .restart = true},
};

const struct schema_object schema_acceleration = {
	.title = "acceleration",
	.name = "acceleration",
	.help = "Move the payload of local TCP connections between processes of a cgroup straight "
		"from socket to socket, past TCP and without a proxy, as `proxyd accelerate` does "
		"(docs/acceleration.md). A list has 16 members at most.",
	KEYS(acceleration_keys),
};
