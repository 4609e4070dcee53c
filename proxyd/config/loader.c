// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where the loader is, what it says of that place, and which keys belong there. */
#include "config/loader.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "config/suggest.h"
#include "config/value.h"

#define NAMES_MAX 64 /* keys of a mapping, and of those within it */

const char *node_kind(const yaml_node_t *node)
{
	return node->type == YAML_MAPPING_NODE ? "a mapping" : "a list";
}

void loader_complain(struct loader *loader, const yaml_node_t *node, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	report_add(loader->report, REPORT_ERROR, node_line(node), node_column(node), loader->path,
		   format, arguments);
	va_end(arguments);
}

size_t loader_enter(struct loader *loader, const char *key)
{
	char name[EXCERPT];
	size_t length = strlen(loader->path);

	snprintf(loader->path + length, sizeof(loader->path) - length, "%s%s", length ? "." : "",
		 excerpt(key, name));
	return length;
}

size_t loader_enter_item(struct loader *loader, size_t index)
{
	size_t length = strlen(loader->path);

	snprintf(loader->path + length, sizeof(loader->path) - length, "[%zu]", index);
	return length;
}

void loader_leave(struct loader *loader, size_t length)
{
	loader->path[length] = '\0';
}

bool loader_may_read(struct loader *loader, const yaml_node_t *node)
{
	if (loader->fatal)
		return false;
	if (document_may(&loader->document, DOCUMENT_NODE_WORK))
		return true;
	loader_complain(loader, node,
			"aliases and merges make too much of the file; use fewer of them");
	loader->fatal = -EINVAL;
	return false;
}

/* ---- Keys --------------------------------------------------------------------------------- */

/* The keys of a mapping, and those one level deeper as "limits.max_flows". */
struct names {
	const char *items[NAMES_MAX];
	char deeper[NAMES_MAX][48];
	size_t count, own;
};

static void collect_names(const struct schema_object *object, struct names *names)
{
	*names = (struct names){0};
	for (size_t i = 0; i < object->key_count && names->count < NAMES_MAX; i++)
		names->items[names->count++] = object->keys[i].name;
	names->own = names->count;
	for (size_t i = 0; i < object->key_count; i++) {
		const struct schema_object *inner = object->keys[i].object;

		if (!inner || object->keys[i].many)
			continue;
		for (size_t j = 0; j < inner->key_count && names->count < NAMES_MAX; j++) {
			char *text = names->deeper[names->count];

			snprintf(text, sizeof(names->deeper[0]), "%s.%s", object->keys[i].name,
				 inner->keys[j].name);
			names->items[names->count++] = text;
		}
	}
}

/* One level deeper only by its exact name. */
static const char *meant_deeper(const struct names *names, const char *word)
{
	for (size_t i = names->own; i < names->count; i++)
		if (!strcmp(strchr(names->items[i], '.') + 1, word))
			return names->items[i];
	return NULL;
}

/* Returns the bit of the key of this mapping that was probably meant, or 0. */
static uint32_t unknown_key(struct loader *loader, const struct schema_object *object,
			    const yaml_node_t *node)
{
	const char *word = node_text(node), *meant;
	size_t path = loader_enter(loader, word);
	char list[VALUE_WHY] = "";
	struct names names;

	collect_names(object, &names);
	meant = meant_deeper(&names, word);
	if (!meant)
		meant = suggest(word, names.items, names.own);
	if (meant) {
		loader_complain(loader, node, "there is no such key; did you mean '%s'?", meant);
	} else {
		for (size_t i = 0; i < names.own; i++)
			snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
				 i ? ", " : "", names.items[i]);
		loader_complain(loader, node, "there is no such key; the keys of %s are %s",
				object == &schema_config ? "the file" : object->name, list);
	}
	loader_leave(loader, path);
	return meant && !strchr(meant, '.') ? 1U << (schema_find(object, meant) - object->keys) : 0;
}

static bool is_taken(struct loader *loader, const yaml_node_t *mapping,
		     const yaml_node_pair_t *pair, const char *word)
{
	for (const yaml_node_pair_t *other = mapping->data.mapping.pairs.start; other < pair;
	     other++) {
		const char *text = node_text(document_node(&loader->document, other->key));

		if (!document_may(&loader->document, 1))
			return false;
		if (text && !strcmp(text, word))
			return true;
	}
	return false;
}

static uint32_t check_key(struct loader *loader, const struct schema_object *object,
			  const yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
	const yaml_node_t *node = document_node(&loader->document, pair->key);
	const char *word = node_text(node);
	size_t path;

	if (!word) {
		loader_complain(loader, node, "%s stands here as a key; a key is a word",
				node_kind(node));
		return 0;
	}
	/* At the top level "x-..." is a place for anchors. */
	if (object == &schema_config && !strncmp(word, "x-", 2))
		return 0;
	if (!schema_find(object, word))
		return unknown_key(loader, object, node);
	if (is_taken(loader, mapping, pair, word)) {
		path = loader_enter(loader, word);
		loader_complain(loader, node, "the key is there twice; leave one of them out");
		loader_leave(loader, path);
	}
	return 0;
}

static uint32_t check_keys(struct loader *loader, const struct schema_object *object,
			   const yaml_node_t *mapping, unsigned int merges);

/* Of what stands behind `<<`: a mapping or a list of them. */
static uint32_t check_merged(struct loader *loader, const struct schema_object *object,
			     const yaml_node_t *node, unsigned int merges)
{
	uint32_t meant = 0;

	if (node->type != YAML_SEQUENCE_NODE)
		return check_keys(loader, object, node, merges + 1);
	for (const yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top && !loader->fatal; item++)
		meant |= check_keys(loader, object, document_node(&loader->document, *item),
				    merges + 1);
	return meant;
}

static uint32_t check_keys(struct loader *loader, const struct schema_object *object,
			   const yaml_node_t *mapping, unsigned int merges)
{
	uint32_t meant = 0;

	if (mapping->type != YAML_MAPPING_NODE) {
		loader_complain(loader, mapping,
				"only a mapping or a list of them can be merged "
				"(<<); leave it out");
		return 0;
	}
	if (merges > DOCUMENT_MERGES_MAX) {
		loader_complain(loader, mapping,
				"there are merges (<<) in merges, more than 8 deep");
		return 0;
	}
	for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
	     pair < mapping->data.mapping.pairs.top && loader_may_read(loader, mapping); pair++) {
		const yaml_node_t *key = document_node(&loader->document, pair->key);

		meant |= node_is_merge(key)
				 ? check_merged(loader, object,
						document_node(&loader->document, pair->value),
						merges)
				 : check_key(loader, object, mapping, pair);
	}
	return meant;
}

uint32_t loader_check_keys(struct loader *loader, const struct schema_object *object,
			   const yaml_node_t *mapping)
{
	return check_keys(loader, object, mapping, 0);
}
