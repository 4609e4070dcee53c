// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/inspect.h"

enum inspect_result inspect(const uint8_t *bytes, size_t size, bool final, struct inspected *out)
{
	(void)bytes;
	(void)size;
	(void) final;
	out->protocol = PROTOCOL_OTHER;
	return INSPECT_DONE;
}
