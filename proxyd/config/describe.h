/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_DESCRIBE_H
#define PROXYD_DESCRIBE_H

/* The schema's table for others than the loader. */

#include <jansson.h>
#include <stdio.h>

/*
 * A JSON schema (draft 2020-12) for editors. It refuses nothing that the loader takes, but for
 * texts that YAML itself takes for something else (a name 123), and takes some things that the
 * loader refuses (references, bounds of numbers with units). NULL: out of memory.
 */
json_t *describe_json_schema(void);

/* The tables of docs/configuration.md. */
void describe_markdown(FILE *stream);

#endif
