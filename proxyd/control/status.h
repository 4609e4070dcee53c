/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_STATUS_H
#define PROXYD_STATUS_H

#include <jansson.h>

#include "proxy.h"

/* The running proxy's state as `proxyd status --json` prints it. Returns a new reference or NULL.
 */
json_t *status_json(const struct proxy *proxy);

/* Print such an object for people. */
void status_print(const json_t *status);

#endif
