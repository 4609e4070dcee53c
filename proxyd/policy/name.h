/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_NAME_H
#define PROXYD_NAME_H

/*
 * Names that are kept resolved. Each is asked for when somebody begins to listen to it and again
 * whenever its TTL has ended; a failure leaves what was known before. Names are shared: many may
 * listen to one, and it goes with the last of them.
 */

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "config/config.h"
#include "policy/dns_answer.h"

/* All times in ms. */
struct name_times {
	uint64_t ttl_min;     /* a TTL is at least this ... */
	uint64_t ttl_max;     /* ... and at most this; */
	uint64_t nothing_max; /* that of "no such name" at most this. */
	uint64_t unsaid;      /* where there is none: /etc/hosts, a negative answer without SOA */
	uint64_t hold;        /* "no such name" is believed when it has been said for this long */
	uint64_t retry_min;   /* after the first failure; doubled for each that follows ... */
	uint64_t retry_max;   /* ... up to this */
};

struct names;
struct name;

enum name_kind {
	NAME_HOST,    /* A and AAAA records, or /etc/hosts */
	NAME_SERVICE, /* SRV records */
};

enum name_state {
	NAME_ASKED,   /* no answer yet */
	NAME_FOUND,   /* there are records */
	NAME_NOTHING, /* there are none, and that is the answer; records are those of the hold */
	NAME_FAILED,  /* no answer; records are those of an earlier one */
};

/* Part of whoever listens. */
struct name_listener {
	TAILQ_ENTRY(name_listener) by_name;
	struct name *name;
	/*
	 * The name's first outcome is there, or its records have changed, or it is answered again
	 * after failures. May begin and cease to listen to other names.
	 */
	void (*changed)(struct name_listener *listener);
};

/* Returns 0; dns_new() says what else. */
int names_new(struct event_base *base, const struct string_list *servers, struct names **out);

/* Ask these from now on; names that fail are tried again at once. As names_new(), or no change. */
int names_set_servers(struct names *names, const struct string_list *servers);

/* For tests that cannot wait: to be changed before a name is listened to. */
struct name_times *names_times(struct names *names);

/* Nobody listens any more. */
void names_free(struct names *names);

/*
 * Begin to listen; `changed` is set and is not called from here: where the name is known already,
 * that is all the listener will hear until it changes. Returns 0 or -ENOMEM.
 */
int name_listen(struct names *names, enum name_kind kind, const char *host,
		struct name_listener *listener);

/* Also for a listener that does not listen: its `name` is NULL. */
void name_leave(struct name_listener *listener);

enum name_state name_state(const struct name *name);
const char *name_host(const struct name *name);

/* The records of one type that are in use, sorted; there may be none. */
const struct dns_record *name_records(const struct name *name, enum dns_type type,
				      unsigned int *count);

#endif
