/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_HOST_NAME_H
#define PROXYD_HOST_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "intake/inspect.h"

/*
 * Bring the name of a host into the form that routes compare: lower case, without the dot that may
 * stand at its end. Letters, digits, hyphens and (common, if not in RFC 952) underscores are taken,
 * in labels of 1 to 63 with a dot between (RFC 1035, 2.3.4). Returns whether it is such a name;
 * otherwise `out` is "".
 */
bool host_name_normalise(const uint8_t *bytes, size_t size, char out[INSPECT_NAME_MAX + 1]);

/*
 * The same of "host", "host:port", "[IPv6]" and "[IPv6]:port" (RFC 3986, 3.2), without the port.
 * The brackets stay, the address between them comes out as RFC 5952 spells it. User information is
 * refused (RFC 9110, 4.2.4).
 */
bool host_name_of_authority(const uint8_t *bytes, size_t size, char out[INSPECT_NAME_MAX + 1]);

#endif
