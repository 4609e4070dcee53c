// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "policy/name.h"

#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "policy/dns.h"

/* Names that are asked for at once: name servers and sockets' buffers are not to be flooded. */
#define ASKED_MAX 64

/* So that names which were asked for together are not for ever. */
#define JITTER_PERCENT 10

#define REASON         64

static const struct name_times default_times = {
	.ttl_min = 1000,
	.ttl_max = 5 * 60 * 1000,
	.nothing_max = 60 * 1000,
	.unsaid = 10 * 1000,
	.hold = 30 * 1000,
	.retry_min = 1000,
	.retry_max = 60 * 1000,
};

/* The records of one type. */
struct slot {
	struct name *name;
	enum dns_type type;
	struct dns_answer kept; /* in use */
	struct dns_answer fresh;
	enum dns_outcome outcome;
};

struct name {
	struct names *names;
	enum name_kind kind;
	enum name_state state;
	struct slot slots[2];
	unsigned int slot_count;
	struct event *timer; /* when to ask again */
	TAILQ_HEAD(, name_listener) listeners;
	TAILQ_ENTRY(name) by_wait;
	unsigned int pending;   /* questions under way */
	unsigned int failures;  /* in a row */
	uint64_t nothing_since; /* 0: it has records */
	char reason[REASON];
	bool waiting; /* to be asked for */
	char host[];
};

struct names {
	struct event_base *base;
	struct dns *dns;
	struct name_times times;
	void *table;        /* tsearch(3) */
	struct event *pump; /* ask for those that wait */
	TAILQ_HEAD(, name) waiting;
	unsigned int asked;
};

/* --- Time -------------------------------------------------------------------------------- */

static uint64_t min(uint64_t left, uint64_t right)
{
	return left < right ? left : right;
}

static uint64_t max(uint64_t left, uint64_t right)
{
	return left > right ? left : right;
}

static uint64_t with_jitter(uint64_t milliseconds)
{
	return milliseconds + clock_spread(milliseconds * JITTER_PERCENT / 100);
}

static uint64_t ttl_ms(const struct name_times *times, uint32_t ttl)
{
	return ttl == DNS_TTL_NONE ? times->unsaid : (uint64_t)ttl * 1000;
}

static uint64_t retry_ms(const struct name *name)
{
	const struct name_times *times = &name->names->times;
	unsigned int doublings = name->failures > 1 ? name->failures - 1 : 0;

	return min(times->retry_min << min(doublings, 20), times->retry_max);
}

/* How long what the slots with this outcome say holds. */
static uint64_t lowest_ttl(const struct name *name, enum dns_outcome outcome)
{
	const struct name_times *times = &name->names->times;
	uint64_t most = outcome == DNS_FOUND ? times->ttl_max : times->nothing_max;
	uint64_t lowest = most;

	for (unsigned int i = 0; i < name->slot_count; i++)
		if (name->slots[i].outcome == outcome)
			lowest = min(lowest, ttl_ms(times, name->slots[i].fresh.ttl));
	return max(lowest, times->ttl_min);
}

/* --- What was answered ------------------------------------------------------------------- */

static unsigned int count_of(const struct name *name, enum dns_outcome outcome)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < name->slot_count; i++)
		count += name->slots[i].outcome == outcome;
	return count;
}

static bool has_records(const struct name *name)
{
	for (unsigned int i = 0; i < name->slot_count; i++)
		if (name->slots[i].kept.count)
			return true;
	return false;
}

/* Use the fresh records, or none. Returns whether that is a change. */
static bool keep_fresh(struct slot *slot)
{
	bool changed = slot->fresh.count != slot->kept.count ||
		       (slot->kept.count && memcmp(slot->fresh.records, slot->kept.records,
						   slot->kept.count * sizeof(struct dns_record)));

	free(slot->kept.records);
	slot->kept = slot->fresh;
	slot->fresh = (struct dns_answer){0};
	return changed;
}

/* "No such name" may be a slip of its owner: for a while, what was known before stays in use. */
static uint64_t hold_left(struct name *name)
{
	uint64_t now = clock_ms(), end;

	if (!name->nothing_since)
		name->nothing_since = now;
	end = name->nothing_since + name->names->times.hold;
	return has_records(name) && now < end ? end - now : 0;
}

/* Returns when to ask again, in ms from now. */
static uint64_t take_answers(struct name *name, bool *changed)
{
	unsigned int found = count_of(name, DNS_FOUND), failed = count_of(name, DNS_FAILED);
	uint64_t wait, hold;

	name->failures = failed ? name->failures + 1 : 0;
	if (!found && failed) {
		name->state = NAME_FAILED;
		return retry_ms(name);
	}
	name->state = found ? NAME_FOUND : NAME_NOTHING;
	wait = lowest_ttl(name, found ? DNS_FOUND : DNS_NOTHING);
	if (found)
		name->nothing_since = 0;
	else if ((hold = hold_left(name)))
		return min(wait, hold);
	for (unsigned int i = 0; i < name->slot_count; i++)
		if (name->slots[i].outcome != DNS_FAILED && keep_fresh(&name->slots[i]))
			*changed = true;
	return failed ? min(wait, retry_ms(name)) : wait;
}

static void drop_fresh(struct name *name)
{
	for (unsigned int i = 0; i < name->slot_count; i++) {
		free(name->slots[i].fresh.records);
		name->slots[i].fresh = (struct dns_answer){0};
	}
}

/* A line for each change of state, not for each answer. */
static void say_state(const struct name *name, enum name_state before, bool changed)
{
	if (name->state == before && !(changed && name->state == NAME_NOTHING))
		return;
	if (name->state != NAME_FOUND)
		log_warning("name %s: %s; %s", name->host, name->reason,
			    has_records(name) ? "what it had stays in use" : "it has no addresses");
	else if (before != NAME_ASKED)
		log_notice("name %s: resolves again", name->host);
}

static void tell(struct name *name)
{
	struct name_listener *listener, *next;

	for (listener = TAILQ_FIRST(&name->listeners); listener; listener = next) {
		next = TAILQ_NEXT(listener, by_name);
		listener->changed(listener);
	}
}

/* --- Asking ------------------------------------------------------------------------------ */

static void name_free(struct name *name);

static void answered(struct name *name)
{
	struct names *names = name->names;
	enum name_state before = name->state;
	bool changed = before == NAME_ASKED;

	names->asked--;
	if (!TAILQ_EMPTY(&names->waiting))
		clock_arm(names->pump, 0);
	if (TAILQ_EMPTY(&name->listeners)) {
		name_free(name);
		return;
	}
	if (count_of(name, DNS_STOPPED)) {
		drop_fresh(name);
		clock_arm(name->timer, 0);
		return;
	}
	clock_arm(name->timer, with_jitter(take_answers(name, &changed)));
	/* Where it had no records, nobody has believed so far that there are none. */
	changed |= before == NAME_FAILED && name->state != NAME_FAILED;
	drop_fresh(name);
	say_state(name, before, changed);
	if (changed)
		tell(name);
}

static void on_answer(void *user, enum dns_outcome outcome, struct dns_answer *answer,
		      const char *reason)
{
	struct slot *slot = user;
	struct name *name = slot->name;

	slot->outcome = outcome;
	slot->fresh = *answer;
	/* Of two reasons that of the failure. */
	if (outcome == DNS_FAILED || !count_of(name, DNS_FAILED))
		snprintf(name->reason, sizeof(name->reason), "%s", reason);
	if (!--name->pending)
		answered(name);
}

static bool look_into_file(struct name *name)
{
	if (name->kind != NAME_HOST ||
	    !dns_hosts(name->names->dns, name->host, &name->slots[0].fresh, &name->slots[1].fresh))
		return false;
	for (unsigned int i = 0; i < name->slot_count; i++)
		name->slots[i].outcome = name->slots[i].fresh.count ? DNS_FOUND : DNS_NOTHING;
	return true;
}

static void ask(struct name *name)
{
	unsigned int count = name->slot_count;

	name->names->asked++;
	if (look_into_file(name)) {
		answered(name);
		return;
	}
	for (unsigned int i = 0; i < count; i++)
		name->slots[i].outcome = DNS_NOTHING;
	name->pending = count;
	/* With the last of them the name may be gone. */
	for (unsigned int i = 0; i < count; i++)
		dns_ask(name->names->dns, name->host, name->slots[i].type, on_answer,
			&name->slots[i]);
}

/* Not from within an answer: a thousand that fail at once would be as many calls deep. */
static void on_pump(evutil_socket_t fd, short what, void *user)
{
	struct names *names = user;
	struct name *name;

	(void)fd;
	(void)what;
	while (names->asked < ASKED_MAX && (name = TAILQ_FIRST(&names->waiting))) {
		TAILQ_REMOVE(&names->waiting, name, by_wait);
		name->waiting = false;
		ask(name);
	}
}

static void on_due(evutil_socket_t fd, short what, void *user)
{
	struct name *name = user;
	struct names *names = name->names;

	(void)fd;
	(void)what;
	if (names->asked < ASKED_MAX && TAILQ_EMPTY(&names->waiting)) {
		ask(name);
		return;
	}
	name->waiting = true;
	TAILQ_INSERT_TAIL(&names->waiting, name, by_wait);
}

/* --- One name ---------------------------------------------------------------------------- */

/* For the table. */
static int by_host(const void *left, const void *right)
{
	const struct name *a = left, *b = right;

	return a->kind != b->kind ? (int)a->kind - (int)b->kind : strcasecmp(a->host, b->host);
}

static void add_slot(struct name *name, enum dns_type type)
{
	struct slot *slot = &name->slots[name->slot_count++];

	slot->name = name;
	slot->type = type;
}

static struct name *new_name(struct names *names, enum name_kind kind, const char *host)
{
	struct name *name = calloc(1, sizeof(*name) + strlen(host) + 1);

	if (!name)
		return NULL;
	name->names = names;
	name->kind = kind;
	strcpy(name->host, host);
	TAILQ_INIT(&name->listeners);
	if (kind == NAME_HOST) {
		add_slot(name, DNS_A);
		add_slot(name, DNS_AAAA);
	} else {
		add_slot(name, DNS_SRV);
	}
	name->timer = evtimer_new(names->base, on_due, name);
	if (name->timer && tsearch(name, &names->table, by_host))
		return name;
	if (name->timer)
		event_free(name->timer);
	free(name);
	return NULL;
}

static void name_free(struct name *name)
{
	tdelete(name, &name->names->table, by_host);
	if (name->waiting)
		TAILQ_REMOVE(&name->names->waiting, name, by_wait);
	drop_fresh(name);
	for (unsigned int i = 0; i < name->slot_count; i++)
		free(name->slots[i].kept.records);
	event_free(name->timer);
	free(name);
}

static struct name *find(struct names *names, enum name_kind kind, const char *host)
{
	struct name *key = calloc(1, sizeof(*key) + strlen(host) + 1);
	struct name **found;

	if (!key)
		return NULL;
	key->kind = kind;
	strcpy(key->host, host);
	found = tfind(key, &names->table, by_host);
	free(key);
	return found ? *found : NULL;
}

int name_listen(struct names *names, enum name_kind kind, const char *host,
		struct name_listener *listener)
{
	struct name *name = find(names, kind, host);

	if (!name) {
		name = new_name(names, kind, host);
		if (!name)
			return -ENOMEM;
		clock_arm(name->timer, 0);
	}
	listener->name = name;
	TAILQ_INSERT_TAIL(&name->listeners, listener, by_name);
	return 0;
}

void name_leave(struct name_listener *listener)
{
	struct name *name = listener->name;

	if (!name)
		return;
	TAILQ_REMOVE(&name->listeners, listener, by_name);
	listener->name = NULL;
	/* One that is being asked for goes with the answer. */
	if (TAILQ_EMPTY(&name->listeners) && !name->pending)
		name_free(name);
}

enum name_state name_state(const struct name *name)
{
	return name->state;
}

const char *name_host(const struct name *name)
{
	return name->host;
}

const struct dns_record *name_records(const struct name *name, enum dns_type type,
				      unsigned int *count)
{
	for (unsigned int i = 0; i < name->slot_count; i++)
		if (name->slots[i].type == type) {
			*count = name->slots[i].kept.count;
			return name->slots[i].kept.records;
		}
	*count = 0;
	return NULL;
}

/* --- All of them ------------------------------------------------------------------------- */

int names_new(struct event_base *base, const struct string_list *servers, struct names **out)
{
	struct names *names = calloc(1, sizeof(*names));
	int err;

	if (!names)
		return -ENOMEM;
	names->base = base;
	names->times = default_times;
	TAILQ_INIT(&names->waiting);
	names->pump = evtimer_new(base, on_pump, names);
	err = names->pump ? dns_new(base, servers, &names->dns) : -ENOMEM;
	if (err) {
		names_free(names);
		return err;
	}
	*out = names;
	return 0;
}

static void retry_failed(const void *node, VISIT visit, void *user)
{
	struct name *name = *(struct name *const *)node;

	(void)user;
	if ((visit == postorder || visit == leaf) && name->failures && !name->pending &&
	    !name->waiting)
		clock_arm(name->timer, 0);
}

int names_set_servers(struct names *names, const struct string_list *servers)
{
	struct dns *old = names->dns;
	int err = dns_new(names->base, servers, &names->dns);

	if (err) {
		names->dns = old;
		return err;
	}
	dns_free(old);
	twalk_r(names->table, retry_failed, NULL);
	return 0;
}

struct name_times *names_times(struct names *names)
{
	return &names->times;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	dns_free(names->dns); /* with it, names that were still being asked for */
	if (names->pump)
		event_free(names->pump);
	free(names);
}
