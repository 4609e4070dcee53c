// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <string.h>

#include "config/suggest.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(suggest, what_was_meant)
{
	static const char *const names[] = {"address", "allow", "deny", "max_flows",
					    "tcp",     "a",     "sni"};
	static const char *const cases[][2] = {
		{"adress", "address"},
		{"addresss", "address"},
		{"adderss", "address"},
		{"Address", "address"},
		{"ADDRESS", "address"},
		{"max-flows", "max_flows"},
		{"maxflows", "max_flows"},
		{"max_flow", "max_flows"},
		{"alow", "allow"},
		{"allwo", "allow"},
		{"dney", "deny"},
		{"snj", "sni"},
		{"ctp", "tcp"},
		{"address", "address"},
		{"zzz", NULL},
		{"", NULL},
		{"b", NULL},
		{"x", NULL},
		{"bind", NULL},
		{"flows", NULL},
		{"tls", NULL},
	};
	char word[200];

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *meant = suggest(cases[i][0], names, COUNT(names));

		cr_expect_eq(meant == NULL, cases[i][1] == NULL, "'%s': '%s'", cases[i][0],
			     meant ? meant : "");
		if (meant && cases[i][1])
			cr_expect_str_eq(meant, cases[i][1], "'%s': '%s'", cases[i][0], meant);
	}
	cr_expect_null(suggest("x", NULL, 0));
	memset(word, 'a', sizeof(word) - 1);
	word[sizeof(word) - 1] = '\0';
	cr_expect_null(suggest(word, names, COUNT(names)));
}

/* The nearest, and of two that are as near the first. */
Test(suggest, the_nearest)
{
	static const char *const names[] = {"shop-1", "shop-2", "shop", "stop"};

	cr_expect_str_eq(suggest("shop-3", names, COUNT(names)), "shop-1");
	cr_expect_str_eq(suggest("shpo", names, COUNT(names)), "shop");
	cr_expect_str_eq(suggest("stopp", names, COUNT(names)), "stop");
}

Test(suggest, excerpts)
{
	char out[EXCERPT], text[200];

	cr_expect_str_eq(excerpt("plain text", out), "plain text");
	cr_expect_str_eq(excerpt("a\nb\x1b[0m\x7f", out), "a?b?[0m?");
	cr_expect_str_eq(excerpt("\xc3\xa9\xff\xc3", out), "\xc3\xa9??");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	excerpt(text, out);
	cr_expect_lt(strlen(out), EXCERPT);
	cr_expect_str_eq(out + strlen(out) - 4, "x...");
	/* Never in the middle of a character. */
	for (size_t i = 0; i + 3 < sizeof(text); i += 3)
		memcpy(text + i, "\xe2\x82\xac", 3);
	text[198] = '\0';
	excerpt(text, out);
	cr_expect_str_eq(out + strlen(out) - 6, "\xe2\x82\xac...");
}

Test(suggest, utf8)
{
	static const struct {
		const char *bytes;
		size_t length;
	} cases[] = {
		{"a", 1},
		{"\x7f", 1},
		{"\xc2\x80", 2},
		{"\xdf\xbf", 2},
		{"\xe0\xa0\x80", 3},
		{"\xed\x9f\xbf", 3},
		{"\xee\x80\x80", 3},
		{"\xf0\x90\x80\x80", 4},
		{"\xf4\x8f\xbf\xbf", 4},
		{"\x80", 0},
		{"\xc0\x80", 0},
		{"\xc1\xbf", 0},
		{"\xe0\x9f\xbf", 0},
		{"\xed\xa0\x80", 0},
		{"\xf0\x8f\xbf\xbf", 0},
		{"\xf4\x90\x80\x80", 0},
		{"\xf5\x80\x80\x80", 0},
		{"\xc3", 0},
		{"\xe2\x82", 0},
		{"\xc3(", 0},
	};

	for (size_t i = 0; i < COUNT(cases); i++)
		cr_expect_eq(
			utf8_length((const unsigned char *)cases[i].bytes, strlen(cases[i].bytes)),
			cases[i].length, "case %zu", i);
}
