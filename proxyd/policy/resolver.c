// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "policy/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "clock.h"
#include "log.h"
#include "policy/name.h"
#include "policy/resolution.h"

/* A host that an endpoint's addresses are those of: itself, or one of an SRV record's targets. */
struct target {
	struct name_listener listener;
	struct item *item;
	struct resolution_host host;
};

/* An endpoint of the config that has a name. */
struct item {
	struct watch *watch;
	unsigned int index;           /* in the config */
	char *text;                   /* its name in messages */
	struct name_listener service; /* ENDPOINT_SRV */
	struct target *targets;
	unsigned int target_count;
	bool too_many; /* addresses, which was said */
};

/* An upstream. */
struct watch {
	LIST_ENTRY(watch) by_resolver;
	struct resolver *resolver;
	struct upstream *upstream;
	uint32_t mark;
	char *interface;
	struct item *items;
	unsigned int item_count;
};

struct resolver {
	struct names *names;
	LIST_HEAD(, watch) watches;
};

/* --- From names to the upstream ------------------------------------------------------------ */

static bool is_known(const struct item *item)
{
	if (item->service.name && name_state(item->service.name) == NAME_ASKED)
		return false;
	for (unsigned int i = 0; i < item->target_count; i++)
		if (name_state(item->targets[i].listener.name) == NAME_ASKED)
			return false;
	return true;
}

/* Whether something of it is missing only because no server answers. */
static bool is_failing(const struct item *item)
{
	if (item->service.name && name_state(item->service.name) == NAME_FAILED)
		return true;
	for (unsigned int i = 0; i < item->target_count; i++)
		if (name_state(item->targets[i].listener.name) == NAME_FAILED)
			return true;
	return false;
}

static int gather(const struct item *item, struct resolution *out)
{
	static const enum dns_type types[] = {DNS_A, DNS_AAAA};
	int err = 0;

	for (unsigned int i = 0; i < 2 * item->target_count && !err; i++) {
		const struct target *target = &item->targets[i / 2];
		unsigned int count;
		const struct dns_record *records =
			name_records(target->listener.name, types[i % 2], &count);

		err = resolution_add(out, &target->host, types[i % 2], records, count);
	}
	return err;
}

static void say_left_out(struct item *item, unsigned int count)
{
	bool too_many = count > RESOLVED_MAX;

	if (too_many && !item->too_many)
		log_warning("upstream %s: %s has %u addresses; the first %d are used",
			    upstream_name(item->watch->upstream), item->text, count, RESOLVED_MAX);
	item->too_many = too_many;
}

/* Tell the upstream what is known. While something is still asked for, what it was told before
 * holds. */
static void publish(struct item *item)
{
	const struct watch *watch = item->watch;
	struct resolved *resolved;
	struct resolution resolution = {0};
	unsigned int count = 0;
	int err, index = upstream_entry(watch->upstream, item->text, item->index);

	/* A reload that had no memory for another watch may have moved it, or taken it away. */
	if (!is_known(item) || index < 0)
		return;
	resolved = malloc(RESOLVED_MAX * sizeof(*resolved));
	err = resolved ? gather(item, &resolution) : -ENOMEM;
	if (!err) {
		resolution_prune(&resolution, watch->mark, watch->interface);
		count = resolution_finish(&resolution, resolved, RESOLVED_MAX);
		say_left_out(item, count);
	}
	if (!err && (count || !is_failing(item)))
		err = upstream_resolved(watch->upstream, (unsigned int)index, resolved,
					count < RESOLVED_MAX ? count : RESOLVED_MAX, clock_ms());
	if (err)
		log_warning("upstream %s: %s: %s; its addresses stay as they are",
			    upstream_name(watch->upstream), item->text, strerror(-err));
	resolution_free(&resolution);
	free(resolved);
}

static void on_target(struct name_listener *listener)
{
	publish(((struct target *)((char *)listener - offsetof(struct target, listener)))->item);
}

/* --- SRV records --------------------------------------------------------------------------- */

static void drop_targets(struct target *targets, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		name_leave(&targets[i].listener);
	free(targets);
}

/* Begin to listen to a host. */
static int add_target(struct item *item, struct target *target, const char *host)
{
	target->item = item;
	target->listener.changed = on_target;
	return name_listen(item->watch->resolver->names, NAME_HOST, host, &target->listener);
}

/* A target for each record. Returns 0, or -ENOMEM with the targets as they were. */
static int follow_service(struct item *item)
{
	unsigned int count, used = 0;
	const struct dns_record *records = name_records(item->service.name, DNS_SRV, &count);
	struct target *targets = calloc(count + 1U, sizeof(*targets));
	int err = targets ? 0 : -ENOMEM;

	for (unsigned int i = 0; i < count && !err; i++) {
		const struct dns_record *record = &records[i];

		/* No target or no port: "decidedly not available" (RFC 2782), or nonsense. */
		if (!record->srv.target[0] || !record->srv.port)
			continue;
		targets[used].host = (struct resolution_host){
			.port = record->srv.port,
			.is_target = true,
			.priority = record->srv.priority,
			.weight = record->srv.weight,
		};
		err = add_target(item, &targets[used], record->srv.target);
		used += !err;
	}
	if (err) {
		drop_targets(targets, used);
		return err;
	}
	/* Those that stay have a new listener by now, so that their names stay too. */
	drop_targets(item->targets, item->target_count);
	item->targets = targets;
	item->target_count = used;
	return 0;
}

static void on_service(struct name_listener *listener)
{
	struct item *item = (struct item *)((char *)listener - offsetof(struct item, service));
	int err = follow_service(item);

	if (err)
		log_warning("upstream %s: %s: %s; its addresses stay as they are",
			    upstream_name(item->watch->upstream), item->text, strerror(-err));
	else
		publish(item);
}

/* --- Upstreams ----------------------------------------------------------------------------- */

static int open_host(struct item *item, const struct config_endpoint *config)
{
	int err;

	item->targets = calloc(1, sizeof(*item->targets));
	if (!item->targets)
		return -ENOMEM;
	item->targets[0].host.port = config->port;
	err = add_target(item, &item->targets[0], config->host);
	if (!err)
		item->target_count = 1;
	return err;
}

static int open_service(struct item *item, const struct config_endpoint *config)
{
	int err;

	item->service.changed = on_service;
	err = name_listen(item->watch->resolver->names, NAME_SERVICE, config->host, &item->service);
	if (!err && name_state(item->service.name) != NAME_ASKED)
		err = follow_service(item);
	return err;
}

static int open_item(struct item *item, struct watch *watch, unsigned int index,
		     const struct config_endpoint *config)
{
	item->watch = watch;
	item->index = index;
	item->text = strdup(config->text);
	if (!item->text)
		return -ENOMEM;
	return config->kind == ENDPOINT_SRV ? open_service(item, config) : open_host(item, config);
}

static void close_item(struct item *item)
{
	name_leave(&item->service);
	drop_targets(item->targets, item->target_count);
	free(item->text);
}

static void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	for (unsigned int i = 0; i < watch->item_count; i++)
		close_item(&watch->items[i]);
	free(watch->items);
	free(watch->interface);
	upstream_unref(watch->upstream);
	free(watch);
}

static int open_items(struct watch *watch, const struct config_upstream *config)
{
	int err = 0;

	watch->items = calloc(config->endpoint_count + 1U, sizeof(*watch->items));
	if (!watch->items)
		return -ENOMEM;
	for (unsigned int i = 0; i < config->endpoint_count && !err; i++)
		if (config->endpoints[i].kind != ENDPOINT_ADDRESS)
			err = open_item(&watch->items[watch->item_count++], watch, i,
					&config->endpoints[i]);
	return err;
}

static int watch_new(struct resolver *resolver, struct upstream *upstream,
		     const struct config_upstream *config, struct watch **out)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	int err = 0;

	if (!watch)
		return -ENOMEM;
	watch->resolver = resolver;
	watch->upstream = upstream_ref(upstream);
	watch->mark = config->tcp.mark;
	if (config->tcp.interface) {
		watch->interface = strdup(config->tcp.interface);
		err = watch->interface ? 0 : -ENOMEM;
	}
	if (!err)
		err = open_items(watch, config);
	if (err) {
		watch_free(watch);
		return err;
	}
	*out = watch;
	return 0;
}

static struct watch *find(struct resolver *resolver, const struct upstream *upstream)
{
	struct watch *watch;

	LIST_FOREACH(watch, &resolver->watches, by_resolver)
	if (watch->upstream == upstream)
		break;
	return watch;
}

int resolver_watch(struct resolver *resolver, struct upstream *upstream,
		   const struct config_upstream *config)
{
	struct watch *watch;
	int err = watch_new(resolver, upstream, config, &watch);

	if (err)
		return err;
	/* After the new one has begun to listen: names that are in both stay known. */
	resolver_unwatch(resolver, upstream);
	LIST_INSERT_HEAD(&resolver->watches, watch, by_resolver);
	for (unsigned int i = 0; i < watch->item_count; i++)
		publish(&watch->items[i]);
	return 0;
}

void resolver_unwatch(struct resolver *resolver, struct upstream *upstream)
{
	struct watch *watch = find(resolver, upstream);

	if (!watch)
		return;
	LIST_REMOVE(watch, by_resolver);
	watch_free(watch);
}

/* --- The whole ----------------------------------------------------------------------------- */

int resolver_new(struct event_base *base, const struct string_list *servers, struct resolver **out)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));
	int err;

	if (!resolver)
		return -ENOMEM;
	LIST_INIT(&resolver->watches);
	err = names_new(base, servers, &resolver->names);
	if (err) {
		free(resolver);
		return err;
	}
	*out = resolver;
	return 0;
}

int resolver_set_servers(struct resolver *resolver, const struct string_list *servers)
{
	return names_set_servers(resolver->names, servers);
}

struct name_times *resolver_times(struct resolver *resolver)
{
	return names_times(resolver->names);
}

void resolver_free(struct resolver *resolver)
{
	struct watch *watch;

	if (!resolver)
		return;
	while ((watch = LIST_FIRST(&resolver->watches))) {
		LIST_REMOVE(watch, by_resolver);
		watch_free(watch);
	}
	names_free(resolver->names);
	free(resolver);
}
