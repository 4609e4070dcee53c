// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Configuration files that are no text, or too much. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/document.h"
#include "config/load.h"
#include "config/source.h"
#include "unit/config_errors.h"

/* ---- Bytes that are no text --------------------------------------------------------------- */

#define EXPECT(bytes, says) expect_one(bytes, sizeof(bytes) - 1, says)

Test(config_errors, bytes)
{
	EXPECT("a: b\nc: \xe9\n", "f:2:4: it is not UTF-8 (byte 0xe9); save it as UTF-8\n");
	EXPECT("\xff\xfe"
	       "a\0",
	       "f:1:1: it is not UTF-8 (byte 0xff); save it as UTF-8 instead of UTF-16\n");
	EXPECT("# \xc3\xa9\xc3\xa9\xe2\x82\n",
	       "f:1:5: it is not UTF-8 (byte 0xe2); save it as UTF-8\n");
	EXPECT("\xc0\xaf", "f:1:1: it is not UTF-8 (byte 0xc0); save it as UTF-8\n");
	EXPECT("\xed\xa0\x80", "f:1:1: it is not UTF-8 (byte 0xed); save it as UTF-8\n");
	EXPECT("\xf4\x90\x80\x80", "f:1:1: it is not UTF-8 (byte 0xf4); save it as UTF-8\n");
	EXPECT("a: \0b", "f:1:4: it holds a control character (byte 0x00); remove it, or write it "
			 "as an escape in double quotes\n");
	EXPECT("a: b\x1b[0m",
	       "f:1:5: it holds a control character (byte 0x1b); remove it, or write "
	       "it as an escape in double quotes\n");
}

/* ---- Bounds ------------------------------------------------------------------------------- */

static char *repeated(const char *before, const char *each, size_t times, const char *after)
{
	size_t length = strlen(each);
	char *text = malloc(strlen(before) + times * length + strlen(after) + 1);
	char *at;

	cr_assert_not_null(text);
	at = stpcpy(text, before);
	for (size_t i = 0; i < times; i++)
		at = stpcpy(at, each);
	strcpy(at, after);
	return text;
}

static void expect_of(char *text, const char *says)
{
	expect_one(text, strlen(text), says);
	free(text);
}

Test(config_errors, bounds)
{
	expect_of(repeated("a: ", "[", 33, ""), "f:1:35: it is nested more than 32 deep\n");
	expect_of(repeated("a: ", "[", SOURCE_MAX - 3, ""),
		  "f:1:35: it is nested more than 32 deep\n");
	expect_of(repeated("", "- ", 33, ""), "f:1:65: it is nested more than 32 deep\n");
	expect_of(repeated("a: [", "b,", DOCUMENT_NODES_MAX, "]"),
		  "f:1:199999: there are more than 100000 keys and values\n");
	expect_of(repeated("a: &a b\nc: [", "*a,", DOCUMENT_ANCHORS_MAX, "]"),
		  "f:2:3002: there are more than 1000 anchors and aliases\n");
	expect_of(repeated("listeners: [", "127.0.0.1:1,", 257, "]\n" CLOSE),
		  "f:1:12: listeners: there are too many (257; 256 at most)\n");
}

/* Each line ten times the one before it. */
Test(config_errors, bombs)
{
	static const char *const start = "f:1:";
	char text[8192] = "x-a: &a0 [10.0.0.0/8, 10.0.0.0/8]\n";
	char said[16384];

	for (int i = 1; i < 9; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "x-%d: &a%d {<<: [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]}\n", i,
			 i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	strcat(text, "listeners: {<<: *a8, address: 127.0.0.1:1}\n" CLOSE);
	cr_expect_eq(load_wrong(text, strlen(text), said, sizeof(said)), -EINVAL);
	cr_expect_eq(strncmp(said, start, strlen(start)), 0, "%s", said);
	cr_expect(strstr(said, "merge"), "%s", said);
}

/* Long lists, referred to over and over. */
Test(config_errors, aliases_of_much)
{
	char *list = repeated("x-a: &a [", "10.0.0.0/8,", 2000, "]\nlisteners:\n");
	char *text = repeated(list, "- {address: 127.0.0.1:1, allow: *a, deny: *a}\n", 200, CLOSE);
	char said[32768];

	cr_expect_eq(load_wrong(text, strlen(text), said, sizeof(said)), -EINVAL);
	cr_expect(strstr(said, "aliases and merges make too much of the file"), "%s", said);
	free(list);
	free(text);
}

Test(config_errors, are_counted_beyond_a_bound)
{
	char *text = repeated("", "lane: fast\n", 300, REST);
	struct config_report report = {0};
	struct config *config = NULL;

	cr_assert_eq(config_load_text("f", text, strlen(text), &config, &report), -EINVAL);
	cr_expect_eq(report.count, REPORT_MAX);
	cr_expect_eq(report.errors, 300); /* 299 of them twice, one of the first's value */
	cr_expect_eq(report.left_out, 200);
	report_clear(&report);
	free(text);
}
