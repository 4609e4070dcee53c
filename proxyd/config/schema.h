/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_SCHEMA_H
#define PROXYD_SCHEMA_H

/*
 * What may stand in a configuration file: one table, which the loader, the printer, the JSON schema
 * and docs/configuration.md go by.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCHEMA_LISTENERS_MAX 256
#define SCHEMA_UPSTREAMS_MAX 1024
#define SCHEMA_ENDPOINTS_MAX 1024
#define SCHEMA_ROUTES_MAX    4096

struct value_type;
struct schema_object;

struct schema_choice {
	const char *name; /* NULL ends a list of them */
	int value;
	const char *help;
};

/* A key of a mapping. */
struct schema_key {
	const char *name;
	const char *help;                   /* "": that of its object */
	const struct value_type *type;      /* of a single value or a list of them, or ... */
	const struct schema_object *object; /* ... a mapping, or with `many` a list of them */
	/* In the struct that the mapping fills. */
	size_t offset;
	size_t width;
	size_t count_offset; /* of the `unsigned int` that counts `many` */
	bool many;
	bool required;     /* wherever the mapping is given */
	bool restart;      /* taken at the start only, not by a reload */
	uint64_t min, max; /* bounds of a number or of a text's length, for any with a max */
	uint64_t step;     /* a number must be a multiple */
	const char
		*fallback; /* the default as it would be written; NULL: none, the field is zero */
	const char *otherwise; /* what holds without a value, in words; with no `fallback` */
	const char *example;   /* what a value looks like, for a key that is required */
	const char *only_for;  /* the choice of the mapping's `selector` that it belongs to */
	const struct schema_choice *choices;
};

struct schema_object {
	const char *title; /* where it stands, as in "listeners[].limits" */
	const char *name;  /* of one of them: "listener" */
	const char *help;
	const struct schema_key *keys;
	size_t key_count;
	size_t size;               /* of the struct, for a list of them */
	const char *shorthand;     /* the key that a single value stands for; NULL: none */
	const char *selector;      /* the key whose value others belong to (only_for) */
	const char *const *one_of; /* exactly one of these keys is given; NULL ends them */
};

/* The file as a whole; fills a struct config. */
extern const struct schema_object schema_config;

/* `acceleration`, which options of `accelerate` stand for; fills a struct config_acceleration. */
extern const struct schema_object schema_acceleration;

/* upstreams[].timeouts, which options of `run` stand for. */
extern const struct schema_object schema_timeouts;

/* NULL: there is none. */
const struct schema_key *schema_find(const struct schema_object *object, const char *name);

/* Its own, or that of its mapping. */
const char *schema_help(const struct schema_key *key);

/*
 * Fill in the defaults of a struct, whose bytes are zero, and of the structs within it; lists of
 * structs stay empty. Returns 0 or -ENOMEM.
 */
int schema_fill(const struct schema_object *object, void *fields);

/* The default of one key. */
int schema_fill_key(const struct schema_key *key, void *fields);

/* Whether a key belongs to what the selector of its mapping has chosen in a struct (only_for). */
bool schema_is_selected(const struct schema_object *object, const struct schema_key *key,
			const void *fields);

/* Free what a struct owns; its bytes may be anything from zero to filled. */
void schema_clear(const struct schema_object *object, void *fields);

#endif
