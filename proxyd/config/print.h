/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_PRINT_H
#define PROXYD_PRINT_H

#include <jansson.h>
#include <stdio.h>

#include "config/config.h"

/*
 * The whole of a config with its defaults, as a file that loads to the same config. What has no
 * value and no default is left out. NULL: out of memory.
 */
json_t *config_to_json(const struct config *config);

/* Write a tree of JSON as YAML. Returns 0 or -EIO. */
int yaml_write(const json_t *tree, FILE *stream);

/*
 * The keys that are taken at the start only and differ between two configs, as "lane, window".
 * Returns their number.
 */
unsigned int config_restart_keys(const struct config *one, const struct config *other, char *text,
				 size_t size);

#endif
