// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From YAML to a struct config, by the schema's table. */
#include "config/load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/check.h"
#include "config/environment.h"
#include "config/loader.h"
#include "config/source.h"
#include "config/value.h"

/* ---- Single values ------------------------------------------------------------------------ */

static void load_text(struct loader *loader, const struct schema_key *key, const yaml_node_t *node,
		      void *field)
{
	char why[VALUE_WHY];
	const struct value_scope scope = {key, loader->config, why};
	const char *given = node_text(node);
	char *text = NULL;
	int err;

	if (strlen(given) != node->data.scalar.length) {
		loader_complain(loader, node, "it holds a NUL character; leave it out");
		return;
	}
	err = environment_expand(given, &text, why, sizeof(why));
	if (!err)
		err = key->type->read(&scope, text, field);
	if (err == -EINVAL)
		loader_complain(loader, node, "%s", why);
	else if (err)
		loader->fatal = err;
	free(text);
}

static void load_scalar(struct loader *loader, const struct schema_key *key,
			const yaml_node_t *node, void *field)
{
	if (!loader_may_read(loader, node))
		return;
	if (!node_text(node))
		loader_complain(loader, node, "%s stands here; a single value is wanted (%s)",
				node_kind(node), key->type->name);
	else if (node_is_null(node))
		loader_complain(loader, node, "it has no value; give it one, or leave the key out");
	else
		load_text(loader, key, node, field);
}

/* An empty list is none: where all are meant when the key is left out, it would be taken for that.
 */
static void load_scalars(struct loader *loader, const struct schema_key *key,
			 const yaml_node_t *node, void *field)
{
	size_t index = 0;

	if (node->type != YAML_SEQUENCE_NODE) {
		load_scalar(loader, key, node, field);
		return;
	}
	if (node->data.sequence.items.start == node->data.sequence.items.top)
		loader_complain(loader, node,
				"it is empty; name one at least, or leave the key out");
	for (const yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top; item++) {
		size_t path = loader_enter_item(loader, index++);

		load_scalar(loader, key, document_node(&loader->document, *item), field);
		loader_leave(loader, path);
	}
}

/* ---- Mappings ----------------------------------------------------------------------------- */

static void load_object(struct loader *loader, const struct schema_object *object,
			const yaml_node_t *node, void *fields);

static void load_many(struct loader *loader, const struct schema_key *key, const yaml_node_t *node,
		      void *fields)
{
	bool list = node->type == YAML_SEQUENCE_NODE;
	const yaml_node_item_t *items = list ? node->data.sequence.items.start : NULL;
	size_t count = list ? (size_t)(node->data.sequence.items.top - items) : 1;
	char *structs;

	if (!list && node_is_null(node)) {
		loader_complain(loader, node, "it has no value; give it one, or leave the key out");
		return;
	}
	if (count > key->max)
		loader_complain(loader, node, "there are too many (%zu; %llu at most)", count,
				(unsigned long long)key->max);
	if (!count && key->required)
		loader_complain(loader, node, "it is empty; one at least is needed");
	if (count > key->max || !count)
		return;
	structs = calloc(count, key->object->size);
	if (!structs) {
		loader->fatal = -ENOMEM;
		return;
	}
	*(void **)((char *)fields + key->offset) = structs;
	*(unsigned int *)((char *)fields + key->count_offset) = (unsigned int)count;
	for (size_t i = 0; i < count; i++) {
		size_t path = loader_enter_item(loader, i);

		load_object(loader, key->object,
			    list ? document_node(&loader->document, items[i]) : node,
			    structs + i * key->object->size);
		loader_leave(loader, path);
	}
}

static void load_key(struct loader *loader, const struct schema_key *key, const yaml_node_t *node,
		     void *fields)
{
	void *field = (char *)fields + key->offset;

	if (key->many)
		load_many(loader, key, node, fields);
	else if (key->object)
		load_object(loader, key->object, node, field);
	else if (key->type->list)
		load_scalars(loader, key, node, field);
	else
		load_scalar(loader, key, node, field);
}

static void check_one_of(struct loader *loader, const struct schema_object *object,
			 const yaml_node_t *node, unsigned int given)
{
	char list[VALUE_WHY] = "";

	if (given == 1)
		return;
	for (size_t i = 0; object->one_of[i]; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s'%s'",
			 i == 0                  ? ""
			 : object->one_of[i + 1] ? ", "
						 : " or ",
			 object->one_of[i]);
	loader_complain(loader, node,
			given ? "only one of %s may be given; choose one"
			      : "one of %s is missing; add it",
			list);
}

static bool is_one_of(const struct schema_object *object, const char *name)
{
	for (size_t i = 0; object->one_of && object->one_of[i]; i++)
		if (!strcmp(object->one_of[i], name))
			return true;
	return false;
}

/* A key that is not there: it has its default, or is missed if `missed`. */
static void without_key(struct loader *loader, const struct schema_object *object,
			const struct schema_key *key, const yaml_node_t *node, void *fields,
			bool missed)
{
	if (missed && key->required && schema_is_selected(object, key, fields))
		loader_complain(loader, node, "'%s' is missing; add it, as in %s: %s", key->name,
				key->name, key->example);
	else if (schema_fill_key(key, fields))
		loader->fatal = -ENOMEM;
}

/* A key that is there, unless the selector has chosen what it does not belong to. */
static void with_key(struct loader *loader, const struct schema_object *object,
		     const struct schema_key *key, const yaml_node_t *node, void *fields,
		     bool selected)
{
	size_t path = loader_enter(loader, key->name);

	if (!selected || schema_is_selected(object, key, fields))
		load_key(loader, key, node, fields);
	else
		loader_complain(loader, node, "it is for %s: %s only; leave it out, or change %s",
				object->selector, key->only_for, object->selector);
	loader_leave(loader, path);
}

static void load_mapping(struct loader *loader, const struct schema_object *object,
			 const yaml_node_t *node, void *fields)
{
	uint32_t meant = loader_check_keys(loader, object, node);
	unsigned int given = 0;
	bool selected = true; /* what the selector chooses is known; it stands before the rest */

	for (size_t i = 0; i < object->key_count && !loader->fatal; i++) {
		const struct schema_key *key = &object->keys[i];
		const yaml_node_t *value = document_find(&loader->document, node, key->name);
		unsigned int errors = loader->report->errors;
		bool misspelt = meant >> i & 1;

		if (value)
			with_key(loader, object, key, value, fields, selected);
		else
			without_key(loader, object, key, node, fields, selected && !misspelt);
		if (object->selector && !strcmp(key->name, object->selector))
			selected = value && errors == loader->report->errors;
		given += (value || misspelt) && is_one_of(object, key->name);
	}
	if (object->one_of)
		check_one_of(loader, object, node, given);
}

/* Everything but one key has its default. */
static void load_shorthand(struct loader *loader, const struct schema_object *object,
			   const yaml_node_t *node, void *fields)
{
	for (size_t i = 0; i < object->key_count && !loader->fatal; i++) {
		const struct schema_key *key = &object->keys[i];

		if (!strcmp(key->name, object->shorthand))
			load_key(loader, key, node, fields);
		else
			without_key(loader, object, key, node, fields, true);
	}
}

/* One that it must have, or else its first. */
static const char *typical_key(const struct schema_object *object)
{
	for (size_t i = 0; i < object->key_count; i++)
		if (object->keys[i].required)
			return object->keys[i].name;
	return object->keys[0].name;
}

static void load_object(struct loader *loader, const struct schema_object *object,
			const yaml_node_t *node, void *fields)
{
	if (!loader_may_read(loader, node))
		return;
	if (node->type == YAML_MAPPING_NODE)
		load_mapping(loader, object, node, fields);
	else if (node->type == YAML_SEQUENCE_NODE)
		loader_complain(loader, node,
				"a list stands here; a mapping is wanted, as in %s: ...",
				typical_key(object));
	else if (node_is_null(node))
		loader_complain(loader, node, "it has no value; give it one, or leave the key out");
	else if (object->shorthand)
		load_shorthand(loader, object, node, fields);
	else
		loader_complain(loader, node,
				"a single value stands here; a mapping is wanted, as in "
				"%s: ...",
				typical_key(object));
}

/* ---- The whole ---------------------------------------------------------------------------- */

static int finish(struct loader *loader)
{
	struct check check = {loader->config, loader->report, &loader->document};

	if (loader->fatal)
		return loader->fatal;
	if (config_complete(loader->config))
		return -ENOMEM;
	check_names(&check);
	if (!loader->report->errors)
		check_sense(&check);
	return loader->report->errors ? -EINVAL : 0;
}

int config_load_text(const char *path, const char *text, size_t size, struct config **out,
		     struct config_report *report)
{
	struct loader loader = {.report = report};
	int err = report->file ? 0 : report_set_file(report, path);

	if (!err)
		err = source_check(text, size, report);
	if (!err)
		err = document_parse(text, size, report, &loader.document);
	if (err)
		return err;
	loader.config = calloc(1, sizeof(*loader.config));
	if (loader.config)
		loader.config->path = strdup(path);
	if (loader.config && loader.config->path) {
		load_object(&loader, &schema_config, loader.document.root, loader.config);
		err = finish(&loader);
	} else {
		err = -ENOMEM;
	}
	document_free(&loader.document);
	report_sort(report);
	if (err)
		config_free(loader.config);
	else
		*out = loader.config;
	return err;
}

int config_load(const char *path, struct config **out, struct config_report *report)
{
	char *text;
	size_t size;
	int err = report_set_file(report, path);

	if (!err)
		err = source_read(path, &text, &size, report);
	if (err)
		return err;
	err = config_load_text(path, text, size, out, report);
	free(text);
	return err;
}
