#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * End the test as skipped, and say so where CTest sees it (SKIP_REGULAR_EXPRESSION); with
 * REQUIRE_BPF=1, as failed.
 */
#define skip_test(...)                                                                             \
	do {                                                                                       \
		const char *require = getenv("REQUIRE_BPF");                                       \
                                                                                                   \
		if (require && !strcmp(require, "1"))                                              \
			cr_assert_fail("may not be skipped here: " __VA_ARGS__);                   \
		fprintf(stderr, "SKIPPED: " __VA_ARGS__);                                          \
		fputc('\n', stderr);                                                               \
		cr_skip_test(__VA_ARGS__);                                                         \
	} while (0)
