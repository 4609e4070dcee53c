#pragma once

/*
 * A stand-in for Criterion, for a file with one test, where Criterion itself does not start: its
 * arena of shared memory lies where ThreadSanitizer has its shadow. What fails ends the program.
 */

#include <stdio.h>
#include <stdlib.h>

#define Test(suite, name, ...)                                                                     \
	static void suite##_##name(void);                                                          \
	int main(void)                                                                             \
	{                                                                                          \
		suite##_##name();                                                                  \
		return 0;                                                                          \
	}                                                                                          \
	static void suite##_##name(void)

#define cr_assert(condition, ...)                                                                  \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

#define cr_assert_eq(a, b, ...)       cr_assert((a) == (b))
#define cr_assert_lt(a, b, ...)       cr_assert((a) < (b))
#define cr_assert_not_null(what, ...) cr_assert((what) != NULL)
#define cr_expect_eq(a, b, ...)       cr_assert((a) == (b))
#define cr_expect_gt(a, b, ...)       cr_assert((a) > (b))
