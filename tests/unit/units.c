// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "config/units.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef int parse_fn(const char *text, uint64_t *value, const char **why);

struct good {
	const char *text;
	uint64_t value;
};

struct bad {
	const char *text;
	const char *why;
};

static void accept(parse_fn *parse, const struct good *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t value = UINT64_MAX;
		const char *why = "";

		cr_expect_eq(parse(cases[i].text, &value, &why), 0, "'%s': %s", cases[i].text, why);
		cr_expect_eq(value, cases[i].value, "'%s': %lu", cases[i].text, value);
	}
}

static void refuse(parse_fn *parse, const struct bad *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *why = NULL;
		uint64_t value = 4711;

		cr_expect_eq(parse(cases[i].text, &value, &why), -EINVAL, "'%s' is %lu",
			     cases[i].text, value);
		cr_expect(why && strstr(why, cases[i].why), "'%s': '%s' does not say '%s'",
			  cases[i].text, why ? why : "", cases[i].why);
		cr_expect_eq(value, 4711, "'%s' left %lu behind", cases[i].text, value);
	}
}

Test(units, bytes)
{
	static const struct good cases[] = {
		{"0", 0},
		{"1", 1},
		{"65536", 65536},
		{"007", 7},
		{"12B", 12},
		{"64KiB", 65536},
		{"4MiB", 4194304},
		{"1GiB", 1073741824},
		{"3kB", 3000},
		{"4MB", 4000000},
		{"2GB", 2000000000},
		{"4294967296", 4294967296},
		{"18446744073709551615", UINT64_MAX},
		{"18446744073709551615B", UINT64_MAX},
		{"17179869183GiB", 17179869183ULL << 30},
	};

	accept(units_parse_bytes, cases, COUNT(cases));
}

Test(units, bytes_refused)
{
	static const char what[] = "no size, as in 4MiB";
	static const char large[] = "too large";
	static const struct bad cases[] = {
		{"", what},
		{"MiB", what},
		{"-1", what},
		{"+1", what},
		{" 1", what},
		{"1 ", what},
		{"1 MiB", what},
		{"4mib", what},
		{"4M", what},
		{"4K", what},
		{"4Mb", what},
		{"1.5MiB", what},
		{"0x10", what},
		{"1e6", what},
		{"4MiBs", what},
		{"4MiB4KiB", what},
		{"4TiB", what},
		{"five", what},
		{"10s", what},
		{"18446744073709551616", large},
		{"18446744073709551615KiB", large},
		{"17179869184GiB", large},
		{"99999999999999999999999999B", large},
	};

	refuse(units_parse_bytes, cases, COUNT(cases));
}

Test(units, durations)
{
	static const struct good cases[] = {
		{"0", 0},       {"0ms", 0},      {"0h", 0},         {"500ms", 500},  {"10s", 10000},
		{"5m", 300000}, {"1h", 3600000}, {"24h", 86400000}, {"090s", 90000},
	};

	accept(units_parse_duration, cases, COUNT(cases));
}

Test(units, durations_refused)
{
	static const char what[] = "no time, as in 500ms";
	static const char large[] = "too large";
	static const struct bad cases[] = {
		{"", what},
		{"s", what},
		{"1", what},
		{"00", what},
		{"10", what},
		{"-1s", what},
		{"+1s", what},
		{" 1s", what},
		{"1s ", what},
		{"1 s", what},
		{"1S", what},
		{"1min", what},
		{"1d", what},
		{"1.5s", what},
		{"1m30s", what},
		{"10us", what},
		{"never", what},
		{"4MiB", what},
		{"18446744073709551616ms", large},
		{"18446744073709551615s", large},
		{"5124095576031h", large},
	};

	refuse(units_parse_duration, cases, COUNT(cases));
}

Test(units, percentages_and_rates)
{
	static const struct good percentages[] = {
		{"0%", 0}, {"20%", 20}, {"100%", 100}, {"007%", 7}};
	static const struct good rates[] = {{"0", 0}, {"50", 50}, {"50/s", 50}};
	static const struct bad no_percentages[] = {
		{"", "no percentage, as in 20%"},
		{"20", "20%"},
		{"20 %", "20%"},
		{"%", "20%"},
		{"0.2", "20%"},
		{"20%%", "20%"},
		{"-1%", "20%"},
	};
	static const struct bad no_rates[] = {
		{"", "no rate, as in 50/s"}, {"50/m", "50/s"}, {"/s", "50/s"},
		{"50 /s", "50/s"},           {"50s", "50/s"},
	};

	accept(units_parse_percent, percentages, COUNT(percentages));
	accept(units_parse_rate, rates, COUNT(rates));
	refuse(units_parse_percent, no_percentages, COUNT(no_percentages));
	refuse(units_parse_rate, no_rates, COUNT(no_rates));
}

Test(units, bandwidths)
{
	static const struct good cases[] = {
		{"0", 0},
		{"1000", 1000},
		{"1000B/s", 1000},
		{"10MiB", 10 << 20},
		{"10MiB/s", 10 << 20},
		{"3kB/s", 3000},
		{"8kbit/s", 1000},
		{"100Mbit/s", 12500000},
		{"1Gbit", 125000000},
	};
	static const struct bad wrong[] = {
		{"", "no bandwidth, as in 10MiB/s or 100Mbit/s"},
		{"fast", "no bandwidth"},
		{"10MiB/m", "no bandwidth"},
		{"10mbit", "no bandwidth"},
		{"8bit", "no bandwidth"},
		{"/s", "no bandwidth"},
		{"18446744073709551615Gbit", "too large"},
	};

	accept(units_parse_bandwidth, cases, COUNT(cases));
	refuse(units_parse_bandwidth, wrong, COUNT(wrong));
}

Test(units, counts_and_marks)
{
	static const struct good counts[] = {
		{"0", 0}, {"128", 128}, {"18446744073709551615", UINT64_MAX}};
	static const struct good marks[] = {{"0", 0},
					    {"7", 7},
					    {"0x1f", 31},
					    {"0XAB", 171},
					    {"0xffffffffffffffff", UINT64_MAX}};
	static const struct bad no_counts[] = {
		{"", "no number"},    {"-1", "no number"},    {"1e3", "no number"},
		{"0x1", "no number"}, {"1_000", "no number"}, {"18446744073709551616", "too large"},
	};
	static const struct bad no_marks[] = {
		{"", "as in 7 or 0x1f"},     {"0x", "as in 7 or 0x1f"},
		{"0x-1", "as in 7 or 0x1f"}, {"0xg", "as in 7 or 0x1f"},
		{"1f", "as in 7 or 0x1f"},   {"0x10000000000000000", "as in 7 or 0x1f"},
	};

	accept(units_parse_count, counts, COUNT(counts));
	accept(units_parse_mark, marks, COUNT(marks));
	refuse(units_parse_count, no_counts, COUNT(no_counts));
	refuse(units_parse_mark, no_marks, COUNT(no_marks));
}

Test(units, are_written_in_the_largest_that_fits)
{
	char text[UNITS_TEXT];

	cr_expect_str_eq(units_format_bytes(0, text), "0B");
	cr_expect_str_eq(units_format_bytes(1000, text), "1000B");
	cr_expect_str_eq(units_format_bytes(1024, text), "1KiB");
	cr_expect_str_eq(units_format_bytes(3 << 20, text), "3MiB");
	cr_expect_str_eq(units_format_bytes(UINT64_MAX, text), "18446744073709551615B");
	cr_expect_str_eq(units_format_duration(0, text), "0s");
	cr_expect_str_eq(units_format_duration(1500, text), "1500ms");
	cr_expect_str_eq(units_format_duration(90000, text), "90s");
	cr_expect_str_eq(units_format_duration(7200000, text), "2h");
	cr_expect_str_eq(units_format_percent(20, text), "20%");
	cr_expect_str_eq(units_format_rate(50, text), "50/s");
	cr_expect_str_eq(units_format_bandwidth(10 << 20, text), "10MiB/s");
	cr_expect_str_eq(units_format_bandwidth(12500000, text), "12500000B/s");
}
