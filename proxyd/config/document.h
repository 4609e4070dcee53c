/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DOCUMENT_H
#define PROXYD_DOCUMENT_H

/*
 * A YAML document: libyaml's tree, in which each node knows its place. Aliases are nodes that are
 * reached more than once; `<<` gives a mapping the keys of others that it has not itself.
 */

#include <stdbool.h>
#include <yaml.h>

#include "config/report.h"

/* Bounds of what is accepted, so that no file takes long. */
#define DOCUMENT_NODES_MAX   100000
#define DOCUMENT_DEPTH_MAX   32
#define DOCUMENT_ANCHORS_MAX 1000
#define DOCUMENT_MERGES_MAX  8 /* of merges in merges */

/* Aliases and merges make more of a file than its nodes: comparisons of keys. */
#define DOCUMENT_WORK_MAX  20000000
#define DOCUMENT_NODE_WORK 100 /* what a node costs that is read */

struct document {
	yaml_document_t yaml;
	yaml_node_t *root;
	unsigned int work; /* done */
};

/*
 * Returns 0; -EINVAL with the place and the reason in the report; or -ENOMEM. Freed with
 * document_free() after success.
 */
int document_parse(const char *text, size_t size, struct config_report *report,
		   struct document *out);
void document_free(struct document *document);

yaml_node_t *document_node(struct document *document, int index);

/* Whether that much work may be done yet. */
bool document_may(struct document *document, unsigned int work);

/* The text of a scalar; NULL: it is none. */
const char *node_text(const yaml_node_t *node);

/* Whether it is a key with nothing behind it, or null. */
bool node_is_null(const yaml_node_t *node);

/* From 1. */
unsigned int node_line(const yaml_node_t *node);
unsigned int node_column(const yaml_node_t *node);

/* Whether a key of a mapping is the merge key. */
bool node_is_merge(const yaml_node_t *key);

/* The value of a key of a mapping, its own or merged. NULL: it has none. */
yaml_node_t *document_find(struct document *document, const yaml_node_t *mapping, const char *name);

/*
 * The node that a path as "upstreams[1].endpoints[0].weight" leads to, or the last on the way there
 * that exists.
 */
const yaml_node_t *document_locate(struct document *document, const char *path);

#endif
