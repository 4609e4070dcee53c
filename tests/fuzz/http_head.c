// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* inspect() on anything that does not begin as TLS does. */
#include "fuzz/inspection.h"
#include "intake/client_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size && *data != CLIENT_HELLO_FIRST_BYTE)
		check_inspection(data, size);
	return 0;
}
