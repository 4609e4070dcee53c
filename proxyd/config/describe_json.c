// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/describe.h"

#include <string.h>

#include "config/value.h"

#define REFERENCE "#/$defs/"

/* ---- Values ------------------------------------------------------------------------------- */

static void append_integer(json_t *alternatives, const struct schema_key *key)
{
	json_t *integer =
		json_pack("{s:s, s:I}", "type", "integer", "minimum", (json_int_t)key->min);

	if (key->max)
		json_object_set_new(integer, "maximum", json_integer((json_int_t)key->max));
	json_array_append_new(alternatives, integer);
}

static void append_choices(json_t *alternatives, const struct schema_key *key)
{
	json_t *names = json_array();

	for (const struct schema_choice *choice = key->choices; choice->name; choice++)
		json_array_append_new(names, json_string(choice->name));
	json_array_append_new(alternatives, json_pack("{s:o}", "enum", names));
}

/* One value: what it may be, or a text with a variable in it. */
static json_t *value_schema(const struct schema_key *key)
{
	const struct value_type *type = key->type;
	json_t *alternatives = json_array();

	if (type->integer)
		append_integer(alternatives, key);
	if (type == &value_time)
		json_array_append_new(alternatives, json_pack("{s:i}", "const", 0));
	if (type->boolean)
		json_array_append_new(alternatives, json_pack("{s:s}", "type", "boolean"));
	if (type == &value_true)
		json_array_append_new(alternatives, json_pack("{s:b}", "const", 1));
	else if (key->choices)
		append_choices(alternatives, key);
	if (type->pattern)
		json_array_append_new(alternatives,
				      json_pack("{s:s, s:o}", "type", "string", "pattern",
						json_sprintf("^(%s)$", type->pattern)));
	if (!json_array_size(alternatives))
		json_array_append_new(alternatives,
				      json_pack("{s:s, s:i}", "type", "string", "minLength", 1));
	json_array_append_new(alternatives, json_pack("{s:s}", "$ref", REFERENCE "variable"));
	return json_pack("{s:o}", "anyOf", alternatives);
}

/* The same, or a list of them. */
static json_t *or_list(json_t *item, const struct schema_key *key)
{
	json_t *list = json_pack("{s:s, s:O}", "type", "array", "items", item);

	if (!key->many || key->required)
		json_object_set_new(list, "minItems", json_integer(1));
	if (key->many)
		json_object_set_new(list, "maxItems", json_integer((json_int_t)key->max));
	return json_pack("{s:[o, o]}", "anyOf", item, list);
}

/* ---- Mappings ----------------------------------------------------------------------------- */

static json_t *object_reference(const struct schema_object *object)
{
	return json_pack("{s:o}", "$ref", json_sprintf(REFERENCE "%s", object->title));
}

static json_t *key_schema(const struct schema_key *key)
{
	json_t *schema = key->object ? object_reference(key->object) : value_schema(key);
	if (key->many || (key->type && key->type->list))
		schema = or_list(schema, key);
	json_object_set_new(schema, "description",
			    json_sprintf("%s%s", schema_help(key),
					 key->restart ? " Taken at the start only." : ""));
	return schema;
}

/* `{"properties": {SELECTOR: {"enum": [...]}}, "required": [SELECTOR]}` */
static json_t *condition(const struct schema_object *object, json_t *choices)
{
	return json_pack("{s:{s:{s:o}}, s:[s]}", "properties", object->selector, "enum", choices,
			 "required", object->selector);
}

/* Keys that belong to one choice are refused with every other, and required where they are. */
static void append_selected(json_t *conditions, const struct schema_object *object,
			    const struct schema_key *key)
{
	const struct schema_key *selector = schema_find(object, object->selector);
	json_t *others = json_array();

	for (const struct schema_choice *choice = selector->choices; choice->name; choice++)
		if (strcmp(choice->name, key->only_for))
			json_array_append_new(others, json_string(choice->name));
	json_array_append_new(conditions,
			      json_pack("{s:o, s:{s:{s:b}}}", "if", condition(object, others),
					"then", "properties", key->name, 0));
	if (key->required)
		json_array_append_new(conditions,
				      json_pack("{s:o, s:{s:[s]}}", "if",
						condition(object, json_pack("[s]", key->only_for)),
						"then", "required", key->name));
}

static void add_conditions(json_t *schema, const struct schema_object *object)
{
	json_t *conditions = json_array(), *one_of = json_array();

	for (size_t i = 0; i < object->key_count; i++)
		if (object->keys[i].only_for)
			append_selected(conditions, object, &object->keys[i]);
	for (size_t i = 0; object->one_of && object->one_of[i]; i++)
		json_array_append_new(one_of, json_pack("{s:[s]}", "required", object->one_of[i]));
	if (json_array_size(conditions))
		json_object_set(schema, "allOf", conditions);
	if (json_array_size(one_of))
		json_object_set(schema, "oneOf", one_of);
	json_decref(conditions);
	json_decref(one_of);
}

static json_t *object_schema(const struct schema_object *object)
{
	json_t *properties = json_object(), *required = json_array();
	json_t *schema = json_pack("{s:s, s:s, s:o, s:b}", "description", object->help, "type",
				   "object", "properties", properties, "additionalProperties", 0);

	for (size_t i = 0; i < object->key_count; i++) {
		const struct schema_key *key = &object->keys[i];

		json_object_set_new(properties, key->name, key_schema(key));
		if (key->required && !key->only_for)
			json_array_append_new(required, json_string(key->name));
	}
	if (json_array_size(required))
		json_object_set(schema, "required", required);
	json_decref(required);
	add_conditions(schema, object);
	if (object->shorthand)
		schema = json_pack("{s:[o, o]}", "anyOf", schema,
				   value_schema(schema_find(object, object->shorthand)));
	return schema;
}

static void define(json_t *definitions, const struct schema_object *object)
{
	for (size_t i = 0; i < object->key_count; i++) {
		const struct schema_object *inner = object->keys[i].object;

		if (!inner || json_object_get(definitions, inner->title))
			continue;
		json_object_set_new(definitions, inner->title, object_schema(inner));
		define(definitions, inner);
	}
}

json_t *describe_json_schema(void)
{
	json_t *schema = object_schema(&schema_config);
	json_t *definitions = json_object();

	json_object_set_new(schema, "$schema",
			    json_string("https://json-schema.org/draft/2020-12/schema"));
	json_object_set_new(schema, "title", json_string("proxyd"));
	json_object_set_new(schema, "patternProperties",
			    json_pack("{s:{s:s}}", "^x-", "description",
				      "A place for YAML anchors; it means nothing to proxyd."));
	json_object_set_new(definitions, "variable",
			    json_pack("{s:s, s:s, s:s}", "description",
				      "A text with an environment variable in it.", "type",
				      "string", "pattern", "\\$\\{"));
	define(definitions, &schema_config);
	json_object_set_new(schema, "$defs", definitions);
	return schema;
}
