// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/print.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

#include "config/environment.h"
#include "config/value.h"

/* ---- As JSON ------------------------------------------------------------------------------ */

static json_t *object_to_json(const struct schema_object *object, const void *fields,
			      const struct config *config);

static json_t *many_to_json(const struct schema_key *key, const void *fields,
			    const struct config *config)
{
	const char *items = *(char *const *)((const char *)fields + key->offset);
	unsigned int count = *(const unsigned int *)((const char *)fields + key->count_offset);
	json_t *list = json_array();

	for (unsigned int i = 0; i < count; i++)
		json_array_append_new(
			list, object_to_json(key->object, items + i * key->object->size, config));
	return list;
}

/* The loader would take "${" for a variable. */
static json_t *escape_text(json_t *value)
{
	char *text = environment_escape(json_string_value(value));

	json_decref(value);
	value = text ? json_string(text) : NULL;
	free(text);
	return value;
}

static json_t *escaped(json_t *value)
{
	json_t *item;
	size_t index;

	if (json_is_string(value))
		return escape_text(value);
	json_array_foreach(value, index, item) if (json_is_string(item))
		json_array_set_new(value, index, escape_text(json_incref(item)));
	return value;
}

/* A mapping that was not given: without a key that it requires it would not load again. */
static bool is_absent(const struct schema_object *object, const json_t *mapping)
{
	for (size_t i = 0; i < object->key_count; i++) {
		const struct schema_key *key = &object->keys[i];

		if (key->required && !key->only_for && !json_object_get(mapping, key->name))
			return true;
	}
	return false;
}

static json_t *one_to_json(const struct schema_object *object, const void *fields,
			   const struct config *config)
{
	json_t *mapping = object_to_json(object, fields, config);

	if (json_object_size(mapping) && !is_absent(object, mapping))
		return mapping;
	json_decref(mapping);
	return NULL;
}

static json_t *key_to_json(const struct schema_key *key, const void *fields,
			   const struct config *config)
{
	const struct value_scope scope = {.key = key, .config = config};
	const char *field = (const char *)fields + key->offset;

	if (key->many)
		return many_to_json(key, fields, config);
	if (key->object)
		return one_to_json(key->object, field, config);
	return escaped(key->type->write(&scope, field));
}

static json_t *object_to_json(const struct schema_object *object, const void *fields,
			      const struct config *config)
{
	json_t *mapping = json_object();

	for (size_t i = 0; i < object->key_count; i++) {
		const struct schema_key *key = &object->keys[i];
		json_t *value;

		if (!schema_is_selected(object, key, fields))
			continue;
		value = key_to_json(key, fields, config);
		if (value)
			json_object_set_new(mapping, key->name, value);
	}
	return mapping;
}

json_t *config_to_json(const struct config *config)
{
	return object_to_json(&schema_config, config, config);
}

unsigned int config_restart_keys(const struct config *one, const struct config *other, char *text,
				 size_t size)
{
	unsigned int count = 0;

	*text = '\0';
	for (size_t i = 0; i < schema_config.key_count; i++) {
		const struct schema_key *key = &schema_config.keys[i];
		json_t *mine, *theirs;

		if (!key->restart)
			continue;
		mine = key_to_json(key, one, one);
		theirs = key_to_json(key, other, other);
		if (mine != theirs && !(mine && theirs && json_equal(mine, theirs)))
			snprintf(text + strlen(text), size - strlen(text), "%s%s",
				 count++ ? ", " : "", key->name);
		json_decref(mine);
		json_decref(theirs);
	}
	return count;
}

/* ---- As YAML ------------------------------------------------------------------------------ */

/*
 * Whether a text may stand without quotes: no syntax in it, and nothing that a reader of YAML 1.1
 * or 1.2 takes for a number, a boolean, a date or nothing.
 */
static bool is_plain(const char *text)
{
	static const char *const words[] = {"true", "false", "yes", "no", "on",
					    "off",  "null",  "y",   "n",  "nan"};
	size_t length = strlen(text);

	unsigned int dots = 0, dashes = 0;

	if (!isalnum((unsigned char)*text) && *text != '/' && *text != '_')
		return false;
	for (const char *at = text; *at; at++) {
		if (!isalnum((unsigned char)*at) && !strchr("_./:%+-", *at))
			return false;
		dots += *at == '.';
		dashes += *at == '-';
	}
	if (text[length - 1] == ':')
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcasecmp(text, words[i]))
			return false;
	/* "1h", "1-2" and "1.2.3.4:5" are no numbers; "1e5", "0x1f", "1:30", "2026-11-24" are. */
	return !isdigit((unsigned char)*text) || dots > 1 ||
	       (dashes == 1 && !strpbrk(text, "eE")) ||
	       strspn(text, "0123456789abcdefABCDEFxXoO_.:+-TZ") < length;
}

static bool emit(yaml_emitter_t *emitter, yaml_event_t *event)
{
	return yaml_emitter_emit(emitter, event);
}

static bool emit_scalar(yaml_emitter_t *emitter, const char *text, bool plain)
{
	yaml_event_t event;

	return yaml_scalar_event_initialize(
		       &event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), 1, 1,
		       plain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE) &&
	       emit(emitter, &event);
}

static bool emit_value(yaml_emitter_t *emitter, const json_t *value);

static bool emit_mapping(yaml_emitter_t *emitter, const json_t *mapping)
{
	yaml_event_t event;
	const char *key;
	json_t *value;

	if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
	    !emit(emitter, &event))
		return false;
	json_object_foreach((json_t *)mapping, key,
			    value) if (!emit_scalar(emitter, key, true) ||
				       !emit_value(emitter, value)) return false;
	return yaml_mapping_end_event_initialize(&event) && emit(emitter, &event);
}

/* Short things side by side. */
static bool emit_list(yaml_emitter_t *emitter, const json_t *list)
{
	bool flow = !json_is_object(json_array_get(list, 0));
	yaml_event_t event;
	json_t *value;
	size_t index;

	if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
						  flow ? YAML_FLOW_SEQUENCE_STYLE
						       : YAML_BLOCK_SEQUENCE_STYLE) ||
	    !emit(emitter, &event))
		return false;
	json_array_foreach(list, index, value) if (!emit_value(emitter, value)) return false;
	return yaml_sequence_end_event_initialize(&event) && emit(emitter, &event);
}

static bool emit_value(yaml_emitter_t *emitter, const json_t *value)
{
	char text[UNITS_TEXT];

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		return emit_mapping(emitter, value);
	case JSON_ARRAY:
		return emit_list(emitter, value);
	case JSON_STRING:
		return emit_scalar(emitter, json_string_value(value),
				   is_plain(json_string_value(value)));
	case JSON_INTEGER:
		snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(value));
		return emit_scalar(emitter, text, true);
	default:
		return emit_scalar(emitter, json_is_true(value) ? "true" : "false", true);
	}
}

static bool emit_document(yaml_emitter_t *emitter, const json_t *tree)
{
	yaml_event_t event;

	if (!yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) ||
	    !emit(emitter, &event) ||
	    !yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) ||
	    !emit(emitter, &event) || !emit_value(emitter, tree) ||
	    !yaml_document_end_event_initialize(&event, 1) || !emit(emitter, &event))
		return false;
	return yaml_stream_end_event_initialize(&event) && emit(emitter, &event);
}

int yaml_write(const json_t *tree, FILE *stream)
{
	yaml_emitter_t emitter;
	bool written;

	if (!yaml_emitter_initialize(&emitter))
		return -EIO;
	yaml_emitter_set_output_file(&emitter, stream);
	yaml_emitter_set_width(&emitter, -1);
	yaml_emitter_set_unicode(&emitter, 1);
	written = emit_document(&emitter, tree);
	yaml_emitter_delete(&emitter);
	return written && !fflush(stream) && !ferror(stream) ? 0 : -EIO;
}
