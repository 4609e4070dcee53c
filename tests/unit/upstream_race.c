// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The threads of upstream_threads.c under ThreadSanitizer. */
#include "unit/upstream_threads.c"
