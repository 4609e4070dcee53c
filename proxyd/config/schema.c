// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/schema.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/value.h"

const struct schema_key *schema_find(const struct schema_object *object, const char *name)
{
	for (size_t i = 0; i < object->key_count; i++)
		if (!strcmp(object->keys[i].name, name))
			return &object->keys[i];
	return NULL;
}

const char *schema_help(const struct schema_key *key)
{
	return key->object && !*key->help ? key->object->help : key->help;
}

int schema_fill_key(const struct schema_key *key, void *fields)
{
	char *field = (char *)fields + key->offset;
	char why[VALUE_WHY];
	const struct value_scope scope = {.key = key, .why = why};

	if (key->many)
		return 0;
	if (key->object)
		return schema_fill(key->object, field);
	if (key->type == &value_upstream)
		*(int *)field = CONFIG_NONE;
	return key->fallback ? key->type->read(&scope, key->fallback, field) : 0;
}

int schema_fill(const struct schema_object *object, void *fields)
{
	int err = 0;

	for (size_t i = 0; i < object->key_count && !err; i++)
		err = schema_fill_key(&object->keys[i], fields);
	return err;
}

static void clear_many(const struct schema_key *key, void *fields)
{
	void **items = (void **)((char *)fields + key->offset);
	unsigned int *count = (unsigned int *)((char *)fields + key->count_offset);

	for (unsigned int i = 0; i < *count; i++)
		schema_clear(key->object, (char *)*items + i * key->object->size);
	free(*items);
	*items = NULL;
	*count = 0;
}

void schema_clear(const struct schema_object *object, void *fields)
{
	for (size_t i = 0; i < object->key_count; i++) {
		const struct schema_key *key = &object->keys[i];

		if (key->many)
			clear_many(key, fields);
		else if (key->object)
			schema_clear(key->object, (char *)fields + key->offset);
		else if (key->type->clear)
			key->type->clear((char *)fields + key->offset);
	}
}

bool schema_is_selected(const struct schema_object *object, const struct schema_key *key,
			const void *fields)
{
	const struct schema_key *selector;
	const char *chosen;

	if (!key->only_for)
		return true;
	selector = schema_find(object, object->selector);
	chosen = value_choice_name(selector->choices,
				   *(const int *)((const char *)fields + selector->offset));
	return chosen && !strcmp(chosen, key->only_for);
}
