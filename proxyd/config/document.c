// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config/document.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/source.h"
#include "config/suggest.h"

/* ---- Before it is loaded ------------------------------------------------------------------ */

/* What libyaml says, and what it mostly means. */
static const struct {
	const char *problem, *remedy;
} remedies[] = {
	{"found a tab character", "indent with spaces, not with tabs"},
	{"mapping values are not allowed",
	 "check the indentation, and put a text that holds ': ' in quotes"},
	{"did not find expected key", "check the indentation"},
	{"did not find expected '-' indicator", "check the indentation"},
	{"block sequence entries are not allowed", "check the indentation"},
	{"could not find expected ':'", "a colon and a space follow a key"},
	{"did not find expected ',' or", "close the bracket; within it, ${...} stands in quotes"},
	{"found unexpected end of stream", "close the quotes"},
	{"found unexpected document indicator", "close the quotes"},
	{"did not find expected alphabetic or numeric character",
	 "a text that starts with '*' or '&' stands in quotes"},
	{"found unknown escape character", "write \\\\ for a backslash, or use single quotes"},
	{"found undefined alias", "an anchor (&NAME) must come before its alias (*NAME)"},
};

static bool starts(const char *text, const char *with)
{
	return text && !strncmp(text, with, strlen(with));
}

static const char *remedy_of(const yaml_parser_t *parser, const char *text, size_t size)
{
	const yaml_mark_t *mark = &parser->problem_mark;
	char at = source_at(text, size, mark->line, mark->column);

	if (!strcmp(parser->problem, "found character that cannot start any token"))
		return at == '\t' ? "indent with spaces, not with tabs"
				  : "put a text that starts with this character in quotes";
	for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
		if (starts(parser->problem, remedies[i].problem))
			return remedies[i].remedy;
	return "see the YAML around it";
}

static int syntax_error(const yaml_parser_t *parser, const char *text, size_t size,
			struct config_report *report)
{
	const yaml_mark_t *context = &parser->context_mark;
	const yaml_mark_t *mark = starts(parser->problem, "found unexpected end of stream")
					  ? context /* where it began */
					  : &parser->problem_mark;
	char where[96] = "";

	if (parser->error == YAML_MEMORY_ERROR || !parser->problem)
		return -ENOMEM;
	if (!strcmp(parser->problem, "second occurrence"))
		return source_fail(report, (unsigned int)mark->line + 1,
				   (unsigned int)mark->column + 1,
				   "the anchor is there twice, first at %zu:%zu; give each a name "
				   "of its own",
				   context->line + 1, context->column + 1);
	if (parser->context && context->line != mark->line)
		snprintf(where, sizeof(where), ", %s that begins at %zu:%zu", parser->context,
			 context->line + 1, context->column + 1);
	return source_fail(report, (unsigned int)mark->line + 1, (unsigned int)mark->column + 1,
			   "%s%s; %s", parser->problem, where, remedy_of(parser, text, size));
}

struct survey {
	struct config_report *report;
	unsigned int nodes, anchors, depth, documents;
};

static int refuse(const struct survey *survey, const yaml_event_t *event, const char *what)
{
	return source_fail(survey->report, (unsigned int)event->start_mark.line + 1,
			   (unsigned int)event->start_mark.column + 1, "%s", what);
}

/* A tag that libyaml puts on every node itself is no news. */
static bool is_foreign(const yaml_char_t *tag)
{
	static const char own[] = "tag:yaml.org,2002:";

	return tag && strncmp((const char *)tag, own, strlen(own));
}

static int survey_node(struct survey *survey, const yaml_event_t *event, const yaml_char_t *anchor,
		       const yaml_char_t *tag)
{
	if (++survey->nodes > DOCUMENT_NODES_MAX)
		return refuse(survey, event, "there are more than 100000 keys and values");
	if (anchor && ++survey->anchors > DOCUMENT_ANCHORS_MAX)
		return refuse(survey, event, "there are more than 1000 anchors and aliases");
	if (is_foreign(tag))
		return refuse(survey, event,
			      "tags (!...) mean nothing here; leave it out, or put "
			      "the text in quotes");
	return 0;
}

static int survey_event(struct survey *survey, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return survey->documents++ ? refuse(survey, event,
						    "a second document begins; one is all a file "
						    "may have")
					   : 0;
	case YAML_ALIAS_EVENT:
		return survey_node(survey, event, event->data.alias.anchor, NULL);
	case YAML_SCALAR_EVENT:
		return survey_node(survey, event, event->data.scalar.anchor,
				   event->data.scalar.tag);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		if (++survey->depth > DOCUMENT_DEPTH_MAX)
			return refuse(survey, event, "it is nested more than 32 deep");
		/* Both begin with the anchor and the tag. */
		return survey_node(survey, event, event->data.mapping_start.anchor,
				   event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		survey->depth--;
		return 0;
	default:
		return 0;
	}
}

static bool start_parser(yaml_parser_t *parser, const char *text, size_t size)
{
	if (!yaml_parser_initialize(parser))
		return false;
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(parser, (const unsigned char *)text, size);
	return true;
}

static int is_empty(struct config_report *report)
{
	return source_fail(report, 1, 1, "it is empty; it needs listeners and routes");
}

/* Of events alone: what is out of bounds is never built, and nothing is done that is quadratic. */
static int survey(const char *text, size_t size, struct config_report *report)
{
	struct survey survey = {.report = report};
	yaml_parser_t parser;
	bool more = true;
	int err = 0;

	if (!start_parser(&parser, text, size))
		return -ENOMEM;
	while (!err && more) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			err = syntax_error(&parser, text, size, report);
			break;
		}
		more = event.type != YAML_STREAM_END_EVENT;
		err = survey_event(&survey, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return !err && !survey.nodes ? is_empty(report) : err;
}

/* ---- The tree ----------------------------------------------------------------------------- */

int document_parse(const char *text, size_t size, struct config_report *report,
		   struct document *out)
{
	yaml_parser_t parser;
	int err = survey(text, size, report);

	out->work = 0;
	if (err)
		return err;
	if (!start_parser(&parser, text, size))
		return -ENOMEM;
	if (!yaml_parser_load(&parser, &out->yaml))
		err = syntax_error(&parser, text, size, report);
	yaml_parser_delete(&parser);
	if (err)
		return err;
	out->root = yaml_document_get_root_node(&out->yaml);
	if (!node_is_null(out->root))
		return 0;
	document_free(out);
	return is_empty(report);
}

void document_free(struct document *document)
{
	yaml_document_delete(&document->yaml);
	document->root = NULL;
}

yaml_node_t *document_node(struct document *document, int index)
{
	return yaml_document_get_node(&document->yaml, index);
}

bool document_may(struct document *document, unsigned int work)
{
	if (document->work > DOCUMENT_WORK_MAX - work)
		return false;
	document->work += work;
	return true;
}

const char *node_text(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static bool is_plain(const yaml_node_t *node)
{
	return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

bool node_is_null(const yaml_node_t *node)
{
	const char *text = node_text(node);

	return is_plain(node) && (!*text || !strcmp(text, "~") || !strcmp(text, "null"));
}

unsigned int node_line(const yaml_node_t *node)
{
	return (unsigned int)node->start_mark.line + 1;
}

unsigned int node_column(const yaml_node_t *node)
{
	return (unsigned int)node->start_mark.column + 1;
}

bool node_is_merge(const yaml_node_t *key)
{
	return is_plain(key) && !strcmp(node_text(key), "<<");
}

static yaml_node_t *find(struct document *document, const yaml_node_t *node, const char *name,
			 unsigned int merges);

/* In what is merged: a mapping, or a list of them, of which the first goes before. */
static yaml_node_t *find_merged(struct document *document, const yaml_node_t *node,
				const char *name, unsigned int merges)
{
	yaml_node_t *found = NULL;

	if (merges == DOCUMENT_MERGES_MAX)
		return NULL;
	if (node->type != YAML_SEQUENCE_NODE)
		return find(document, node, name, merges + 1);
	for (const yaml_node_item_t *item = node->data.sequence.items.start;
	     item < node->data.sequence.items.top && !found; item++)
		found = find(document, document_node(document, *item), name, merges + 1);
	return found;
}

static yaml_node_t *find(struct document *document, const yaml_node_t *node, const char *name,
			 unsigned int merges)
{
	yaml_node_t *merged = NULL;

	if (node->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top && document_may(document, 1); pair++) {
		const yaml_node_t *key = document_node(document, pair->key);
		yaml_node_t *value = document_node(document, pair->value);

		if (node_is_merge(key)) {
			if (!merged)
				merged = find_merged(document, value, name, merges);
		} else if (node_text(key) && !strcmp(node_text(key), name)) {
			return value;
		}
	}
	return merged;
}

yaml_node_t *document_find(struct document *document, const yaml_node_t *mapping, const char *name)
{
	return find(document, mapping, name, 0);
}

static yaml_node_t *item_of(struct document *document, yaml_node_t *node, const char *index)
{
	const yaml_node_item_t *start, *item;

	/* A list of one may stand without its brackets. */
	if (node->type != YAML_SEQUENCE_NODE)
		return node;
	start = node->data.sequence.items.start;
	item = start + strtoul(index, NULL, 10);
	return item < node->data.sequence.items.top ? document_node(document, *item) : NULL;
}

const yaml_node_t *document_locate(struct document *document, const char *path)
{
	yaml_node_t *node = document->root, *next;
	char name[64];

	while (*path) {
		bool index = *path == '[';

		path += *path == '[' || *path == '.';
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(path, ".[]"), path);
		next = index ? item_of(document, node, name) : document_find(document, node, name);
		if (!next)
			return node;
		node = next;
		path += strcspn(path, ".[]");
		path += *path == ']';
	}
	return node;
}
