// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <string.h>

#include "intake/host_name.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define BYTES(text)  (const uint8_t *)(text), sizeof(text) - 1

struct spelling {
	const uint8_t *bytes;
	size_t size;
	const char *name; /* NULL: none */
};

typedef bool normalise_fn(const uint8_t *bytes, size_t size, char out[INSPECT_NAME_MAX + 1]);

static void expect(normalise_fn *normalise, const struct spelling *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char name[INSPECT_NAME_MAX + 1] = "left behind";

		cr_expect_eq(normalise(cases[i].bytes, cases[i].size, name), cases[i].name != NULL,
			     "'%s'", (const char *)cases[i].bytes);
		cr_expect_str_eq(name, cases[i].name ? cases[i].name : "");
	}
}

Test(host_name, normalise)
{
	static const struct spelling cases[] = {
		{BYTES("shop.example.org"), "shop.example.org"},
		{BYTES("SHOP.Example.ORG."), "shop.example.org"},
		{BYTES("xn--mnchen-3ya.example"), "xn--mnchen-3ya.example"},
		{BYTES("_sip._tcp.example.org"), "_sip._tcp.example.org"},
		{BYTES("a"), "a"},
		{BYTES("192.0.2.1"), "192.0.2.1"},
		{BYTES(""), NULL},
		{BYTES("."), NULL},
		{BYTES(".."), NULL},
		{BYTES(".a"), NULL},
		{BYTES("a..b"), NULL},
		{BYTES("a.."), NULL},
		{BYTES("a b"), NULL},
		{BYTES("a\0b"), NULL},
		{BYTES("a:80"), NULL},
		{BYTES("a/b"), NULL},
		{BYTES("*.a"), NULL},
		{BYTES("[::1]"), NULL},
		{BYTES("m\xc3\xbcnchen.example"), NULL},
	};

	expect(host_name_normalise, cases, COUNT(cases));
}

Test(host_name, of_authority)
{
	static const struct spelling cases[] = {
		{BYTES("Shop.example.org"), "shop.example.org"},
		{BYTES("shop.example.org:80"), "shop.example.org"},
		{BYTES("shop.example.org.:80"), "shop.example.org"},
		{BYTES("shop.example.org:"), "shop.example.org"},
		{BYTES("192.0.2.1:80"), "192.0.2.1"},
		{BYTES("[::1]"), "[::1]"},
		{BYTES("[::1]:80"), "[::1]"},
		{BYTES("[2001:DB8:0:0::1]:80"), "[2001:db8::1]"},
		{BYTES("[::ffff:192.0.2.1]"), "[::ffff:192.0.2.1]"},
		{BYTES("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]"),
		 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]"},
		{BYTES(""), NULL},
		{BYTES(":80"), NULL},
		{BYTES("shop.example.org:http"), NULL},
		{BYTES("shop.example.org:80:80"), NULL},
		{BYTES("me@shop.example.org"), NULL},
		{BYTES("me:80@shop.example.org"), NULL},
		{BYTES("::1"), NULL},
		{BYTES("["), NULL},
		{BYTES("[]"), NULL},
		{BYTES("[::1"), NULL},
		{BYTES("[::1]80"), NULL},
		{BYTES("[::1]:x"), NULL},
		{BYTES("[192.0.2.1]"), NULL},
		{BYTES("[v1.a]"), NULL},
		{BYTES("[fe80::1%eth0]"), NULL},
		{BYTES("[::1\0]"), NULL},
		{BYTES("[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.2555]"), NULL},
	};

	expect(host_name_of_authority, cases, COUNT(cases));
}
