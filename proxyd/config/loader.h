/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_LOADER_H
#define PROXYD_LOADER_H

/* What the parts of the loader share. */

#include <stdint.h>

#include "config/config.h"
#include "config/document.h"
#include "config/schema.h"

#define LOADER_PATH 256

struct loader {
	struct document document;
	struct config *config;
	struct config_report *report;
	int fatal;              /* -errno: give up */
	char path[LOADER_PATH]; /* of the key that is being loaded */
};

/* Add an error about the current key, at a node. */
void loader_complain(struct loader *loader, const yaml_node_t *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Go down by a key or an index. loader_leave() takes the result, and goes back. */
size_t loader_enter(struct loader *loader, const char *key);
size_t loader_enter_item(struct loader *loader, size_t index);
void loader_leave(struct loader *loader, size_t length);

/* Whether one more node may be read; else it says why not. */
bool loader_may_read(struct loader *loader, const yaml_node_t *node);

/*
 * Complain of keys in a mapping, or in what is merged into it, that should not be there. Returns a
 * bit for each key of the object that was probably meant by one of them.
 */
uint32_t loader_check_keys(struct loader *loader, const struct schema_object *object,
			   const yaml_node_t *mapping);

/* For a node that is no scalar. */
const char *node_kind(const yaml_node_t *node);

#endif
