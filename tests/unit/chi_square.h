#pragma once

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Whether counts fit the weights that they were drawn by: Pearson's chi-square, less than six
 * standard deviations from what is expected (Wilson and Hilferty's approximation; chance passes
 * that once in 10^9 runs).
 */
static inline void assert_distribution(const char *what, const uint64_t *counts,
				       const uint32_t *weights, unsigned int kinds)
{
	double total = 0, weight = 0, chi_square = 0, bound, freedom = -1;

	for (unsigned int i = 0; i < kinds; i++) {
		total += (double)counts[i];
		weight += weights[i];
	}
	for (unsigned int i = 0; i < kinds; i++) {
		double expected = total * weights[i] / weight;

		if (!weights[i]) {
			cr_assert_eq(counts[i], 0, "%s: %u has no weight", what, i);
			continue;
		}
		freedom++;
		chi_square +=
			((double)counts[i] - expected) * ((double)counts[i] - expected) / expected;
	}
	bound = freedom * pow(1 - 2 / (9 * freedom) + 6 * sqrt(2 / (9 * freedom)), 3);
	fprintf(stderr, "%s: chi-square %.1f, bound %.1f\n", what, chi_square, bound);
	cr_assert_lt(chi_square, bound, "%s: chi-square %g, bound %g", what, chi_square, bound);
}
