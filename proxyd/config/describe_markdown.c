// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/describe.h"

#include <ctype.h>
#include <string.h>

#include "config/value.h"

#define OBJECTS_MAX 32

struct done {
	const struct schema_object *objects[OBJECTS_MAX];
	size_t count;
};

/* As Markdown renderers make it of a heading. */
static void print_anchor(FILE *stream, const char *title)
{
	for (; *title; title++) {
		if (isalnum((unsigned char)*title) || *title == '_')
			fputc(tolower((unsigned char)*title), stream);
		else if (*title == ' ')
			fputc('-', stream);
	}
}

/* A choice says its names; what is bounded on both sides says so. */
static void print_type(FILE *stream, const struct schema_key *key)
{
	char low[UNITS_TEXT], high[UNITS_TEXT];

	if (key->object) {
		fprintf(stream, "%s[%s](#", key->many ? "list of " : "",
			key->many ? "mappings" : "mapping");
		print_anchor(stream, key->object->title);
		fprintf(stream, ")");
		return;
	}
	if (key->type == &value_true) {
		fprintf(stream, "`true`");
	} else if (key->choices) {
		for (const struct schema_choice *choice = key->choices; choice->name; choice++)
			fprintf(stream, "%s`%s`", choice == key->choices ? "" : ", ", choice->name);
	} else {
		fprintf(stream, "%s", key->type->name);
	}
	if (key->type->list)
		fprintf(stream, " (or a list)");
	if (key->type->format && key->max)
		fprintf(stream, ", %s to %s", key->type->format(key->min, low),
			key->type->format(key->max, high));
	else if (key->type->integer && key->max)
		fprintf(stream, ", %llu to %llu", (unsigned long long)key->min,
			(unsigned long long)key->max);
}

static void print_default(FILE *stream, const struct schema_key *key)
{
	if (key->required && !key->only_for)
		fprintf(stream, "required");
	else if (key->required)
		fprintf(stream, "required with `%s`", key->only_for);
	else if (key->fallback)
		fprintf(stream, "`%s`", key->fallback);
	else if (key->otherwise)
		fprintf(stream, "%s", key->otherwise);
}

static void print_help(FILE *stream, const struct schema_key *key)
{
	fprintf(stream, "%s", schema_help(key));
	for (const struct schema_choice *choice = key->choices;
	     choice && choice->name && *choice->help; choice++)
		fprintf(stream, "%s`%s`: %s%s", choice == key->choices ? " " : "; ", choice->name,
			choice->help, choice[1].name ? "" : ".");
	if (key->only_for)
		fprintf(stream, " With `%s` only.", key->only_for);
	if (key->restart)
		fprintf(stream, " *Taken at the start only.*");
}

static void print_object(FILE *stream, const struct schema_object *object)
{
	fprintf(stream, "\n### %s\n\n%s\n\n", object->title, object->help);
	fprintf(stream, "| key | value | default | |\n|---|---|---|---|\n");
	for (size_t i = 0; i < object->key_count; i++) {
		const struct schema_key *key = &object->keys[i];

		fprintf(stream, "| `%s` | ", key->name);
		print_type(stream, key);
		fprintf(stream, " | ");
		print_default(stream, key);
		fprintf(stream, " | ");
		print_help(stream, key);
		fprintf(stream, " |\n");
	}
}

static bool is_done(const struct done *done, const struct schema_object *object)
{
	for (size_t i = 0; i < done->count; i++)
		if (done->objects[i] == object)
			return true;
	return false;
}

static void print_tree(FILE *stream, const struct schema_object *object, struct done *done)
{
	if (done->count == OBJECTS_MAX || is_done(done, object))
		return;
	done->objects[done->count++] = object;
	print_object(stream, object);
	for (size_t i = 0; i < object->key_count; i++)
		if (object->keys[i].object)
			print_tree(stream, object->keys[i].object, done);
}

void describe_markdown(FILE *stream)
{
	struct done done = {0};

	print_tree(stream, &schema_config, &done);
}
