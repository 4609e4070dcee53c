// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "unit/address.h"
#include "unit/seed.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(cidr, is_written_as_it_is_read)
{
	static const char *const cases[][2] = {
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.128.0.0/9", "10.128.0.0/9"},
		{"10.1.2.3", "10.1.2.3/32"},
		{"10.1.2.3/32", "10.1.2.3/32"},
		{"255.255.255.255/32", "255.255.255.255/32"},
		{"::/0", "::/0"},
		{"2001:db8::/32", "2001:db8::/32"},
		{"2001:DB8:0:0::1", "2001:db8::1/128"},
		{"fe80::/10", "fe80::/10"},
		{"::ffff:10.0.0.0/104", "10.0.0.0/8"},
		{"::ffff:0:0/96", "0.0.0.0/0"},
		{"::1", "::1/128"},
		{"2001:db8:1111:2222:3333:4444:5555:6666/128",
		 "2001:db8:1111:2222:3333:4444:5555:6666/128"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cidr cidr = cidr_of(cases[i][0]);
		char text[CIDR_TEXT];

		cr_expect_str_eq(cidr_format(&cidr, text), cases[i][1]);
		struct cidr again = cidr_of(text);
		cr_expect_eq(memcmp(&cidr, &again, sizeof(cidr)), 0, "%s", text);
	}
}

Test(cidr, refused)
{
	static const char what[] = "no IP address or range";
	static const char prefix4[] = "0 to 32", prefix6[] = "0 to 128", beyond[] = "beyond";
	static const char *const cases[][2] = {
		{"", what},
		{"/8", what},
		{"10", what},
		{"10.0.0/8", what},
		{"010.0.0.0/8", what},
		{"10.0.0.0.0", what},
		{"256.0.0.0/8", what},
		{" 10.0.0.0/8", what},
		{"localhost", what},
		{"::g/64", what},
		{"fe80::1%eth0", what},
		{"[::1]", what},
		{"10.0.0.0:80", what},
		{"1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/64", what},
		{"10.0.0.0/", prefix4},
		{"10.0.0.0/33", prefix4},
		{"10.0.0.0/-1", prefix4},
		{"10.0.0.0/+8", prefix4},
		{"10.0.0.0/8 ", prefix4},
		{"10.0.0.0/8/8", prefix4},
		{"10.0.0.0/255.0.0.0", prefix4},
		{"10.0.0.0/9999999999", prefix4},
		{"::/129", prefix6},
		{"::/", prefix6},
		{"10.0.0.1/8", beyond},
		{"10.0.0.0/6", beyond},
		{"0.0.0.1/0", beyond},
		{"2001:db8::1/127", beyond},
		{"::ffff:10.0.0.0/8", beyond},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cidr cidr = {.prefix = 77};
		const char *why = "";

		cr_expect_eq(cidr_parse(cases[i][0], &cidr, &why), -EINVAL, "'%s' was accepted",
			     cases[i][0]);
		cr_expect(strstr(why, cases[i][1]), "'%s': '%s' does not say '%s'", cases[i][0],
			  why, cases[i][1]);
		cr_expect_eq(cidr.prefix, 77);
	}
}

Test(cidr, holds)
{
	static const struct {
		const char *range, *address;
		bool held;
	} cases[] = {
		{"10.0.0.0/8", "10.255.255.255:80", true},
		{"10.0.0.0/8", "10.0.0.0:1", true},
		{"10.0.0.0/8", "11.0.0.0:80", false},
		{"10.0.0.0/8", "9.255.255.255:80", false},
		{"10.128.0.0/9", "10.127.255.255:80", false},
		{"10.128.0.0/9", "10.128.0.0:80", true},
		{"192.0.2.7", "192.0.2.7:9", true},
		{"192.0.2.7", "192.0.2.6:9", false},
		{"192.0.2.6/31", "192.0.2.7:9", true},
		{"0.0.0.0/0", "192.0.2.7:9", true},
		{"0.0.0.0/0", "[2001:db8::1]:9", false},
		{"::/0", "192.0.2.7:9", true},
		{"::/0", "[2001:db8::1]:9", true},
		{"2001:db8::/33", "[2001:db8:7fff::1]:9", true},
		{"2001:db8::/33", "[2001:db8:8000::1]:9", false},
		/* What accept(2) gives on a listener for both families. */
		{"10.0.0.0/8", "[::ffff:10.1.2.3]:80", true},
		{"::ffff:0:0/96", "10.1.2.3:80", true},
		{"fe80::/10", "[fe80::1]:80", true},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct cidr ranges[2] = {cidr_of("198.51.100.1"), cidr_of(cases[i].range)};
		struct cidr_list list = {ranges, 2};
		struct address held = address_of(cases[i].address);

		cr_expect_eq(cidr_list_holds(&list, &held), cases[i].held, "%s, %s", cases[i].range,
			     cases[i].address);
		list.count = 1;
		cr_expect_not(cidr_list_holds(&list, &held));
		list.count = 0;
		cr_expect_not(cidr_list_holds(&list, &held));
	}
}

/* Against one bit at a time. */
Test(cidr, ranges_at_random)
{
	struct rng rng = seeded("cidr, ranges at random");

	for (int round = 0; round < 20000; round++) {
		struct cidr outer = {.prefix = (uint8_t)(rng_next(&rng) % 129)};
		struct cidr inner = {.prefix = (uint8_t)(rng_next(&rng) % 129)};
		unsigned int flipped = (unsigned int)(rng_next(&rng) % 128);
		bool same = true;

		for (unsigned int bit = 0; bit < 128; bit++) {
			bool set = rng_next(&rng) & 1;
			uint8_t mask = (uint8_t)(0x80 >> bit % 8);

			if (set && bit < outer.prefix)
				outer.bytes[bit / 8] |= mask;
			if (set != (bit == flipped) && bit < inner.prefix)
				inner.bytes[bit / 8] |= mask;
		}
		same = flipped >= outer.prefix && outer.prefix <= inner.prefix;
		cr_assert_eq(cidr_holds(&outer, &inner), same, "/%u, /%u, bit %u", outer.prefix,
			     inner.prefix, flipped);
	}
}
