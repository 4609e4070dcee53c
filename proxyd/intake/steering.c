// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/steering.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intake/listener.h"
#include "intake/local_route.h"
#include "intake/pins.h"
#include "intake/range_maps.h"
#include "intake/ruleset.h"
#include "log.h"
#include "sidelane/intercept.h"
#include "sidelane/shared.h"
#include "steerer.skel.h"

struct steering {
	struct steerer *programs;
	struct bpf_link *link;     /* NULL: nothing is steered */
	struct local_route *route; /* NULL: none was asked for */
	bool began;
	bool stops; /* with proxyd */
	bool closed;
	bool for_good; /* what is pinned goes too */
	char pin[PIN_SIZE];
};

/* ---- Loading ------------------------------------------------------------------------------ */

static int load(struct steering *steering)
{
	steering->programs = steerer__open();
	if (!steering->programs)
		return -errno;
	steering->programs->rodata->closed = steering->closed;
	return steerer__load(steering->programs);
}

int steering_new(const struct config_listener *listener, struct steering **out)
{
	struct steering *steering = calloc(1, sizeof(*steering));
	int err;

	if (!steering)
		return -ENOMEM;
	steering->closed = listener->intercept.on_exit == INTERCEPT_EXIT_CLOSED;
	err = load(steering);
	if (err)
		log_error("listener %s: cannot load the program that steers: %s; it takes CAP_BPF, "
			  "CAP_NET_ADMIN and Linux 5.9",
			  listener->name, strerror(-err));
	if (err)
		steering_free(steering);
	else
		*out = steering;
	return err;
}

/* Unless one that came after it has taken its place, as for a listener at another address. */
static void unpin(const struct steering *steering)
{
	int fd = *steering->pin && steering->link ? bpf_obj_get(steering->pin) : -1;
	struct bpf_link_info pinned = {0}, own = {0};
	uint32_t sizes[2] = {sizeof(pinned), sizeof(own)};

	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &pinned, &sizes[0]) &&
	    !bpf_obj_get_info_by_fd(bpf_link__fd(steering->link), &own, &sizes[1]) &&
	    pinned.id == own.id)
		unlink(steering->pin);
	close(fd);
}

void steering_free(struct steering *steering)
{
	if (!steering)
		return;
	if (steering->stops && steering->route && steering->began)
		listener_await_tail(0);
	if (!steering->closed || steering->for_good) {
		if (steering->route)
			local_route_remove(steering->route);
		unpin(steering);
	}
	bpf_link__destroy(steering->link);
	steerer__destroy(steering->programs);
	local_route_free(steering->route);
	free(steering);
}

bool steering_has_tail(const struct steering *steering)
{
	return steering->route && steering->began && listener_has_tail(0);
}

/* A socket that was closed has left its place by itself. */
int steering_claim(struct steering *steering, int listening)
{
	const int sockets = bpf_map__fd(steering->programs->maps.sockets);
	uint64_t value = (uint64_t)listening;
	int err = -EEXIST;

	for (uint32_t i = 0; err == -EEXIST && i < SL_WORKERS_MAX; i++)
		err = bpf_map_update_elem(sockets, &i, &value, BPF_NOEXIST);
	return err;
}

/* ---- Rules -------------------------------------------------------------------------------- */

static int write_rules(const struct steerer *programs, const struct config_listener *listener,
		       uint32_t generation)
{
	const struct config_intercept *config = &listener->intercept;
	struct sl_steering rules = {
		.takes_ipv4 = listener_takes(listener, false),
		.takes_ipv6 = listener_takes(listener, true),
		.any_destination = !config->destinations.count,
		.any_port = !config->ports.count,
		.interface_count = config->interfaces.count,
	};
	uint32_t index = generation & 1;

	if (config->interfaces.count > SL_INTERFACES_MAX)
		return -E2BIG;
	for (unsigned int i = 0; i < config->interfaces.count; i++) {
		rules.interfaces[i] = if_nametoindex(config->interfaces.items[i]);
		if (!rules.interfaces[i])
			return -ENODEV;
	}
	return bpf_map_update_elem(bpf_map__fd(programs->maps.rules), &index, &rules, BPF_ANY);
}

/* What a proxyd left that is gone still refuses; a choice of ours goes before that. */
static int attach(struct steering *steering, const struct config_listener *listener)
{
	int netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), err;
	char name[RULESET_NAME];
	unsigned int removed;

	if (netns < 0)
		return -errno;
	steering->began = true;
	err = pins_path(steering->pin, "%s", ruleset_name(listener, name));
	steering->link = bpf_program__attach_netns(steering->programs->progs.steer, netns);
	if (!err && !steering->link)
		err = -errno;
	close(netns);
	if (!err)
		pins_remove(steering->pin, &removed);
	if (!err && steering->closed)
		err = bpf_link__pin(steering->link, steering->pin);
	if (err) {
		bpf_link__destroy(steering->link);
		steering->link = NULL;
		*steering->pin = '\0';
	}
	return err;
}

static const char *remedy(const struct steering *steering, int err)
{
	if (err == -E2BIG)
		return "; it takes 16 interfaces";
	if (err == -ENODEV)
		return "; one of `interfaces` is not there";
	if (err == -ENOSPC)
		return "; it takes 4096 address ranges";
	if (steering->closed && !steering->link)
		return "; `on_exit: closed` takes a BPF file system: mount -t bpf bpf /sys/fs/bpf";
	return "; see proxyd doctor";
}

/* A reload may be the first to name interfaces. */
static int follow_route(struct steering *steering, const struct config_listener *listener)
{
	const struct config_intercept *intercept = &listener->intercept;
	int err = 0;

	if (!steering->route && intercept->interfaces.count &&
	    intercept->rules == INTERCEPT_RULES_INSTALL)
		err = local_route_new(&steering->route);
	return err || !steering->route ? err : local_route_follow(steering->route, listener);
}

int steering_follow(struct steering *steering, const struct config_listener *listener)
{
	struct steerer *programs = steering->programs;
	const struct range_maps maps = {programs->maps.destinations, programs->maps.excluded,
					programs->maps.ports};
	uint32_t now = programs->bss->generation;
	int err = write_rules(programs, listener, now + 1);

	if (!err)
		err = range_maps_write(&maps, &listener->intercept, now + 1);
	/* What attach() takes the place of must not go before the rules hold. */
	if (!err && !steering->link)
		range_maps_switch(&programs->bss->generation, now + 1);
	if (!err && !steering->link)
		err = attach(steering, listener);
	else if (!err && steering->closed)
		err = pins_restore(steering->pin, steering->link);
	steering->for_good = false;
	if (err)
		log_error("listener %s: cannot set up `intercept`: %s%s", listener->name,
			  strerror(-err), remedy(steering, err));
	else
		err = follow_route(steering, listener);
	range_maps_switch(&programs->bss->generation, err ? now : now + 1);
	range_maps_keep(&maps, err ? now : now + 1);
	return err;
}

/* Routes know no connections: those of live ones stay until it is freed. */
void steering_end(struct steering *steering, bool for_good)
{
	steering->stops = !for_good;
	steering->for_good = steering->for_good || for_good;
	if (steering->closed && !for_good)
		return;
	unpin(steering);
	bpf_link__destroy(steering->link);
	steering->link = NULL;
}
