// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "intake/interception.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "flow/worker.h"
#include "intake/claim.h"
#include "intake/listener.h"
#include "intake/pins.h"
#include "intake/range_maps.h"
#include "intake/redirection.h"
#include "intake/ruleset.h"
#include "intake/steering.h"
#include "interceptor.skel.h"
#include "log.h"
#include "probe/capabilities.h"
#include "probe/cgroup.h"
#include "probe/netns.h"
#include "sidelane/intercept.h"
#include "sidelane/key.h"

#define LINKS         9
#define FIRST_CONNECT 7
#define TAIL_MS       3000

struct interception {
	atomic_uint references;
	enum intercept_mode mode;
	enum intercept_exit on_exit;
	enum intercept_rules rules;
	uint64_t idle_ms;                /* since when nobody else needs it; 0: not known */
	char name[RULESET_NAME];         /* of the listener, once its port is known */
	struct redirection *redirection; /* of modes redirect and tproxy, or ... */
	struct steering *steering;       /* ... steer; what follows is of connect */
	struct interceptor *programs;
	struct bpf_link *links[LINKS];
	char pins[2][PIN_SIZE]; /* of connect4 and connect6; empty: not pinned */
	int cgroup;             /* whose connections are intercepted */
	int own;                /* that holds proxyd */
	struct claims *claims;
	struct claim claim;
};

/* --- Loading ----------------------------------------------------------------------------- */

static int load(struct interception *interception)
{
	LIBBPF_OPTS(bpf_test_run_opts, options);
	struct interceptor *programs = interceptor__open();
	const int shared = claims_shared(interception->claims);
	uint64_t netns;
	int err;

	if (!programs)
		return -errno;
	interception->programs = programs;
	err = netns_cookie(&netns);
	if (!err && shared >= 0)
		err = bpf_map__reuse_fd(programs->maps.clients, shared);
	if (err)
		return err;
	programs->rodata->own_netns = netns;
	programs->rodata->closed = interception->on_exit == INTERCEPT_EXIT_CLOSED;
	err = interceptor__load(programs);
	if (!err)
		claims_share(interception->claims, bpf_map__fd(programs->maps.clients));
	return err ? err
		   : bpf_prog_test_run_opts(bpf_program__fd(programs->progs.who_am_i), &options);
}

static int open_cgroup(const char *listener, const char *key, const char *path, int *out)
{
	*out = cgroup_open(path);
	if (*out >= 0)
		return 0;
	log_error("listener %s: %s %s: %s; name a directory of a cgroup v2", listener, key,
		  path ? path : "(of proxyd)", strerror(-*out));
	return *out;
}

static int claim(struct interception *interception, const struct config_listener *listener)
{
	int family;
	int err = claim_take(&interception->claim, interception->claims, interception->cgroup,
			     &listener->address, &family);

	if (!interception->claims)
		log_warning("listener %s: cannot see whether another proxyd intercepts the "
			    "connections of %s; it takes CAP_PERFMON at the start of proxyd",
			    listener->name, listener->intercept.cgroup);
	if (err == -EADDRINUSE)
		log_error("listener %s: another proxyd intercepts the %s connections of %s; stop "
			  "it, or leave one of the two out",
			  listener->name, family == AF_INET ? "IPv4" : "IPv6",
			  listener->intercept.cgroup);
	return err;
}

static int begin_connect(struct interception *interception, const struct config_listener *listener,
			 const char *own_cgroup)
{
	int err = open_cgroup(listener->name, "intercept.cgroup", listener->intercept.cgroup,
			      &interception->cgroup);
	if (!err)
		err = open_cgroup(listener->name, "cgroup", own_cgroup, &interception->own);
	if (err)
		return err;
	err = claim(interception, listener);
	if (err == -EADDRINUSE)
		return err;
	if (!err)
		err = load(interception);
	if (err)
		log_error("listener %s: cannot load the programs that intercept: %s; it takes "
			  "CAP_BPF, CAP_NET_ADMIN and Linux 5.15",
			  listener->name, strerror(-err));
	return err;
}

int interception_new(const struct config_listener *listener, const char *own_cgroup,
		     struct claims *claims, struct interception **out)
{
	struct interception *interception = calloc(1, sizeof(*interception));
	int err;

	if (!interception)
		return -ENOMEM;
	atomic_init(&interception->references, 1);
	interception->cgroup = interception->own = -1;
	interception->claims = claims_ref(claims);
	interception->claim = (struct claim){{-1, -1}};
	interception->mode = listener->intercept.mode;
	interception->on_exit = listener->intercept.on_exit;
	interception->rules = listener->intercept.rules;
	if (listener->intercept.mode != INTERCEPT_CONNECT && !capability_held(CAP_NET_ADMIN)) {
		log_error("listener %s: missing CAP_NET_ADMIN to mark connections and to put rules "
			  "in place; grant it (AmbientCapabilities= in a systemd unit)",
			  listener->name);
		err = -EPERM;
	} else if (listener->intercept.mode == INTERCEPT_CONNECT)
		err = begin_connect(interception, listener, own_cgroup);
	else if (listener->intercept.mode == INTERCEPT_STEER)
		err = steering_new(listener, &interception->steering);
	else
		err = redirection_new(listener, &interception->redirection);
	if (err)
		interception_unref(interception);
	else
		*out = interception;
	return err;
}

struct interception *interception_ref(struct interception *interception)
{
	if (interception)
		atomic_fetch_add_explicit(&interception->references, 1, memory_order_relaxed);
	return interception;
}

bool interception_resumes(const struct interception *interception,
			  const struct config_listener *listener)
{
	const struct config_intercept *intercept = &listener->intercept;
	char name[RULESET_NAME];

	return interception->mode > INTERCEPT_CONNECT && interception->mode == intercept->mode &&
	       interception->on_exit == intercept->on_exit &&
	       interception->rules == intercept->rules &&
	       !strcmp(interception->name, ruleset_name(listener, name));
}

bool interception_has_table(const struct interception *interception,
			    const struct config_listener *listener)
{
	char name[RULESET_NAME];

	return interception && interception->redirection &&
	       listener->intercept.mode > INTERCEPT_CONNECT &&
	       !strcmp(interception->name, ruleset_name(listener, name));
}

static bool has_tail(const struct interception *interception)
{
	return interception->redirection
		       ? redirection_has_tail(interception->redirection)
		       : interception->steering && steering_has_tail(interception->steering);
}

bool interception_is_needed(struct interception *interception)
{
	uint64_t now_ms = worker_now_ms();

	if (atomic_load_explicit(&interception->references, memory_order_acquire) > 1)
		return true;
	if (!interception->idle_ms)
		interception->idle_ms = now_ms;
	if (!has_tail(interception))
		return false;
	if (now_ms - interception->idle_ms < TAIL_MS)
		return true;
	listener_warn_of_tail();
	return false;
}

void interception_unref(struct interception *interception)
{
	if (!interception ||
	    atomic_fetch_sub_explicit(&interception->references, 1, memory_order_acq_rel) != 1)
		return;
	for (int i = LINKS - 1; i >= 0; i--)
		bpf_link__destroy(interception->links[i]);
	interceptor__destroy(interception->programs);
	redirection_free(interception->redirection);
	claim_drop(&interception->claim);
	claims_unref(interception->claims);
	steering_free(interception->steering);
	if (interception->cgroup >= 0)
		close(interception->cgroup);
	if (interception->own >= 0)
		close(interception->own);
	free(interception);
}

/* --- Rules ------------------------------------------------------------------------------- */

static bool is_any(const struct address *address)
{
	return address->any.sa_family == AF_INET
		       ? address->ipv4.sin_addr.s_addr == htonl(INADDR_ANY)
		       : IN6_IS_ADDR_UNSPECIFIED(&address->ipv6.sin6_addr);
}

/* Where the listener is reached from this host. */
static void set_target(const struct address *address, struct sl_rules *rules)
{
	const uint32_t loopback = htonl(INADDR_LOOPBACK);
	bool any = is_any(address);

	rules->proxy_port = address->ipv4.sin_port; /* sin6_port is at the same place */
	rules->takes_ipv4 = address->any.sa_family == AF_INET || any;
	rules->takes_ipv6 = address->any.sa_family == AF_INET6;
	rules->proxy_ip4 = any ? loopback : address->ipv4.sin_addr.s_addr;
	if (rules->takes_ipv6)
		memcpy(rules->proxy_ip6, any ? &in6addr_loopback : &address->ipv6.sin6_addr,
		       sizeof(rules->proxy_ip6));
}

static int write_rules(const struct interceptor *programs, const struct range_maps *maps,
		       const struct config_listener *listener, uint32_t generation)
{
	const struct config_intercept *config = &listener->intercept;
	struct sl_rules rules = {
		.any_destination = !config->destinations.count,
		.any_port = !config->ports.count,
		.user_count = (uint16_t)config->users.count,
	};
	uint32_t index = generation & 1;
	int err;

	if (config->users.count > SL_USERS_MAX)
		return -E2BIG;
	for (unsigned int i = 0; i < config->users.count; i++)
		rules.users[i] = (struct sl_users){config->users.items[i].first,
						   config->users.items[i].last};
	set_target(&listener->address, &rules);
	err = range_maps_write(maps, config, generation);
	return err ? err
		   : bpf_map_update_elem(bpf_map__fd(programs->maps.rules), &index, &rules,
					 BPF_ANY);
}

/* --- Attaching --------------------------------------------------------------------------- */

/*
 * In the place of what a proxyd has left that is gone, and refuses up to here. Pins are named by
 * whose connections they refuse, and by what has pinned them: not by a listener.
 */
static int pin(struct interception *interception, const struct config_listener *listener, int link)
{
	char *path = interception->pins[link - FIRST_CONNECT];
	const bool ipv4 = listener_takes(listener, false), ipv6 = listener_takes(listener, true);
	const char *family = ipv4 && ipv6 ? "x" : ipv4 ? "4" : "6";
	const char which = link == FIRST_CONNECT ? '4' : '6';
	char pattern[PIN_SIZE];
	unsigned long long cgroup;
	unsigned int removed;
	struct stat directory;
	int err;

	if (fstat(interception->cgroup, &directory))
		return -errno;
	cgroup = directory.st_ino;
	err = pins_path(pattern, "connect_%llx_[%s%sx]_*_%c", cgroup, ipv4 ? "4" : "",
			ipv6 ? "6" : "", which);
	if (err)
		return err;
	pins_remove(pattern, &removed);
	if (interception->on_exit != INTERCEPT_EXIT_CLOSED)
		return 0;
	err = pins_path(path, "connect_%llx_%s_%llx_%c", cgroup, family,
			(unsigned long long)worker_now_us(), which);
	if (err)
		return err;
	return bpf_link__pin(interception->links[link], path);
}

static void detach(struct interception *interception, int link)
{
	if (!interception->links[link])
		return;
	if (link >= FIRST_CONNECT && *interception->pins[link - FIRST_CONNECT])
		unlink(interception->pins[link - FIRST_CONNECT]);
	bpf_link__destroy(interception->links[link]);
	interception->links[link] = NULL;
}

/* What is not attached yet. What needs the notes of connect4/6 first, and what they need. */
static int attach(struct interception *interception, const struct config_listener *listener)
{
	const struct interceptor *programs = interception->programs;
	struct bpf_program *const order[LINKS] = {
		programs->progs.meet_client,          programs->progs.follow_client,
		programs->progs.getpeername_ipv4,     programs->progs.getpeername_ipv6,
		programs->progs.original_destination, programs->progs.exempt_ipv4,
		programs->progs.exempt_ipv6,          programs->progs.connect_ipv4,
		programs->progs.connect_ipv6,
	};
	int err = 0;

	for (int i = 0; i < LINKS; i++) {
		if (interception->links[i])
			continue;
		interception->links[i] = bpf_program__attach_cgroup(
			order[i], i ? interception->cgroup : interception->own);
		if (!interception->links[i])
			return -errno;
		if (i >= FIRST_CONNECT)
			err = pin(interception, listener, i);
		if (err) {
			detach(interception, i);
			return err;
		}
	}
	for (int i = 0; !err && i < 2; i++)
		err = pins_restore(interception->pins[i], interception->links[FIRST_CONNECT + i]);
	return err;
}

/* connect4/6 alone: the others are for the clients that are there. */
static void end_connect(struct interception *interception, bool for_good)
{
	claim_drop(&interception->claim);
	/* Without a socket that listens they refuse. */
	if (interception->on_exit == INTERCEPT_EXIT_CLOSED && !for_good)
		return;
	for (int i = LINKS - 1; i >= FIRST_CONNECT; i--)
		detach(interception, i);
}

void interception_end(struct interception *interception, const struct config_listener *listener,
		      bool for_good)
{
	if (!interception)
		return;
	interception->idle_ms = 0;
	if (interception->redirection)
		redirection_end(interception->redirection, listener, for_good);
	else if (interception->steering)
		steering_end(interception->steering, for_good);
	else
		end_connect(interception, for_good);
}

static const char *remedy(const struct interception *interception, int err)
{
	if (err == -E2BIG)
		return "; it takes 32 ranges of user IDs";
	if (err == -ENOSPC)
		return "; it takes 4096 address ranges";
	if (interception->on_exit == INTERCEPT_EXIT_CLOSED)
		return "; `on_exit: closed` takes a BPF file system: mount -t bpf bpf /sys/fs/bpf";
	return "";
}

/* A cgroup of the same name that was made anew, as for a service that was restarted. */
static int follow_cgroup(struct interception *interception, const struct config_listener *listener)
{
	struct stat held, named;
	int cgroup, err;

	if (fstat(interception->cgroup, &held) || stat(listener->intercept.cgroup, &named) ||
	    held.st_ino == named.st_ino)
		return 0;
	err = open_cgroup(listener->name, "intercept.cgroup", listener->intercept.cgroup, &cgroup);
	if (err)
		return err;
	for (int i = LINKS - 1; i > 0; i--)
		detach(interception, i);
	close(interception->cgroup);
	interception->cgroup = cgroup;
	claim_drop(&interception->claim);
	return 0;
}

/* A listener that was drained, and comes back, has given its claim away. */
static int follow_claim(struct interception *interception, const struct config_listener *listener)
{
	const int *fds = interception->claim.fds;
	int err = fds[0] < 0 && fds[1] < 0 ? claim(interception, listener) : 0;

	/* One family of two would look like all of it. */
	if (err)
		claim_drop(&interception->claim);
	return err;
}

static int follow_connect(struct interception *interception, const struct config_listener *listener)
{
	struct interceptor *programs = interception->programs;
	const struct range_maps maps = {programs->maps.destinations, programs->maps.excluded,
					programs->maps.ports};
	uint32_t now = programs->bss->generation;
	int err = write_rules(programs, &maps, listener, now + 1);

	if (!err)
		err = follow_cgroup(interception, listener);
	if (!err)
		err = follow_claim(interception, listener);
	/* What attach() takes the place of must not go before the rules hold. */
	if (!err && !interception->links[FIRST_CONNECT])
		range_maps_switch(&programs->bss->generation, now + 1);
	if (!err)
		err = attach(interception, listener);
	if (err)
		log_error("listener %s: cannot set up `intercept`: %s%s", listener->name,
			  strerror(-err), remedy(interception, err));
	range_maps_switch(&programs->bss->generation, err ? now : now + 1);
	range_maps_keep(&maps, err ? now : now + 1);
	return err;
}

int interception_follow(struct interception *interception, const struct config_listener *listener)
{
	ruleset_name(listener, interception->name);
	if (interception->redirection)
		return redirection_follow(interception->redirection, listener);
	if (interception->steering)
		return steering_follow(interception->steering, listener);
	return follow_connect(interception, listener);
}

/* --- Connections ------------------------------------------------------------------------- */

int interception_claim(const struct interception *interception, int listening)
{
	const struct sl_destination none = {0};

	if (interception->steering)
		return steering_claim(interception->steering, listening);
	if (!interception->programs)
		return 0;
	return bpf_map_update_elem(bpf_map__fd(interception->programs->maps.ours), &listening,
				   &none, BPF_ANY);
}

bool interception_destination(const struct interception *interception, int fd, struct address *out)
{
	struct sl_destination destination;
	struct in6_addr ip;

	if (!interception->programs ||
	    bpf_map_lookup_elem(bpf_map__fd(interception->programs->maps.ours), &fd,
				&destination) ||
	    !destination.port)
		return false;
	memcpy(&ip, destination.ip, sizeof(ip));
	*out = (struct address){0};
	if (IN6_IS_ADDR_V4MAPPED(&ip)) {
		out->length = sizeof(out->ipv4);
		out->ipv4.sin_family = AF_INET;
		out->ipv4.sin_port = destination.port;
		out->ipv4.sin_addr.s_addr = destination.ip[3];
	} else {
		out->length = sizeof(out->ipv6);
		out->ipv6.sin6_family = AF_INET6;
		out->ipv6.sin6_port = destination.port;
		out->ipv6.sin6_addr = ip;
	}
	return true;
}
