/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_VALUE_H
#define PROXYD_VALUE_H

/* The types of what stands behind a key: how each is read, written, described and freed. */

#include <jansson.h>

#include "config/config.h"
#include "config/schema.h"
#include "config/units.h"

#define VALUE_WHY 384

struct value_scope {
	const struct schema_key *key;
	const struct config *config; /* whose upstreams are loaded, for references */
	char *why;                   /* VALUE_WHY bytes: what is wrong; what to do */
};

struct value_type {
	const char *name;    /* in docs/configuration.md */
	const char *pattern; /* what a text looks like, as an ECMA 262 expression; NULL: anything */
	bool integer;        /* may be an integer in YAML */
	bool boolean;
	bool list; /* read() appends; a list of one may be written as a single value */

	/* Returns 0; -EINVAL and says why; or -ENOMEM. A field is zero, or a list that grows. */
	int (*read)(const struct value_scope *scope, const char *text, void *field);
	/* As it would be written; NULL: there is nothing to write. */
	json_t *(*write)(const struct value_scope *scope, const void *field);
	/* Frees what the field owns, and leaves zeros. NULL: it owns nothing. */
	void (*clear)(void *field);

	/* Of numbers: with their units. */
	int (*parse)(const char *text, uint64_t *number, const char **why);
	const char *(*format)(uint64_t number, char text[UNITS_TEXT]); /* NULL: as an integer */
	/* Of texts. */
	int (*check)(const char *text, const char **why);
};

/* Numbers of 2, 4 or 8 bytes. */
extern const struct value_type value_count;
extern const struct value_type value_mark;
extern const struct value_type value_size;
extern const struct value_type value_time;
extern const struct value_type value_percent;
extern const struct value_type value_rate;
extern const struct value_type value_bandwidth;

extern const struct value_type value_bool;

/* An enum by the names of key->choices; those that are not named there are not written. */
extern const struct value_type value_choice;
/* A choice of one that is written as `true`. */
extern const struct value_type value_true;
/* Several of key->choices, or'ed. */
extern const struct value_type value_choices;

/* The index of an upstream, CONFIG_NONE for none. */
extern const struct value_type value_upstream;

/* char *. */
extern const struct value_type value_name;
extern const struct value_type value_text;
extern const struct value_type value_path;
extern const struct value_type value_log_target;
extern const struct value_type value_interface;
extern const struct value_type value_url_path;
extern const struct value_type value_authority;

/* struct string_list. */
extern const struct value_type value_names;
extern const struct value_type value_paths;
extern const struct value_type value_nameservers;
extern const struct value_type value_server_names;
extern const struct value_type value_hosts;
extern const struct value_type value_alpns;

extern const struct value_type value_ranges; /* struct port_list, within key->min and key->max */
extern const struct value_type value_cidrs;  /* struct cidr_list */

extern const struct value_type value_address; /* struct address, with a port */
extern const struct value_type value_source;  /* struct config_source */

/* struct config_endpoint: kind, text, address, host, port. */
extern const struct value_type value_endpoint;
extern const struct value_type value_service;

/* Say what is wrong and return -EINVAL. */
int value_fail(const struct value_scope *scope, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * "no such thing; did you mean 'x'?", or what there is, for a word that is none of the names.
 * Returns -EINVAL.
 */
int value_unknown(const struct value_scope *scope, const char *text, const char *what,
		  const char *const *names, size_t count);

/* What a value is called. NULL: it has no name. */
const char *value_choice_name(const struct schema_choice *choices, int value);

#endif
