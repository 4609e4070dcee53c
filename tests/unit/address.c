// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "config/address.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

Test(address, parses_and_formats)
{
	static const struct {
		const char *text;
		int family;
		const char *host;
		uint16_t port;
		const char *formatted; /* NULL: as it was given */
	} cases[] = {
		{"127.0.0.1:80", AF_INET, "127.0.0.1", 80, NULL},
		{"0.0.0.0:1", AF_INET, "0.0.0.0", 1, NULL},
		{"255.255.255.255:65535", AF_INET, "255.255.255.255", 65535, NULL},
		{"10.1.2.3:08080", AF_INET, "10.1.2.3", 8080, "10.1.2.3:8080"},
		{"[::1]:9000", AF_INET6, "::1", 9000, NULL},
		{"[::]:443", AF_INET6, "::", 443, NULL},
		{"[2001:DB8:0:0::1]:1", AF_INET6, "2001:db8::1", 1, "[2001:db8::1]:1"},
		{"[::ffff:127.0.0.1]:80", AF_INET6, "::ffff:127.0.0.1", 80, NULL},
		{"[fe80::1%lo]:80", AF_INET6, "fe80::1", 80, NULL},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", AF_INET6,
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535, NULL},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *expected = cases[i].formatted ? cases[i].formatted : cases[i].text;
		char text[ADDRESS_TEXT], host[INET6_ADDRSTRLEN];
		const char *why = "nothing";
		struct address address;
		const void *ip = &address.ipv4.sin_addr;

		cr_expect_eq(address_parse(cases[i].text, &address, &why), 0, "%s: %s",
			     cases[i].text, why);
		cr_expect_eq(address.any.sa_family, cases[i].family, "%s", cases[i].text);
		cr_expect_eq(address.length,
			     cases[i].family == AF_INET ? sizeof(address.ipv4)
							: sizeof(address.ipv6),
			     "%s", cases[i].text);
		if (cases[i].family == AF_INET6)
			ip = &address.ipv6.sin6_addr;
		inet_ntop(cases[i].family, ip, host, sizeof(host));
		cr_expect_str_eq(host, cases[i].host);
		cr_expect_eq(ntohs(address.ipv4.sin_port), cases[i].port, "%s", cases[i].text);
		cr_expect_str_eq(address_format(&address, text), expected);
	}
}

Test(address, says_what_is_wrong)
{
	static const char long_one[] = "[0000:0000:0000:0000:0000:0000:0000:0001%"
				       "an-interface-with-a-name-beyond-all-measure]:9000";
	static const struct {
		const char *text;
		const char *why;
	} cases[] = {
		{"", "a port must follow"},
		{"127.0.0.1", "a port must follow"},
		{"localhost", "a port must follow"},
		{"9000", "a port must follow"},
		{"127.0.0.1:", "the port is not a number"},
		{"127.0.0.1:http", "the port is not a number"},
		{"127.0.0.1:80x", "the port is not a number"},
		{"127.0.0.1: 80", "the port is not a number"},
		{"127.0.0.1:80 ", "the port is not a number"},
		{"127.0.0.1:-1", "the port is not a number"},
		{"127.0.0.1:+80", "the port is not a number"},
		{"127.0.0.1:0x50", "the port is not a number"},
		{"127.0.0.1:0", "not between 1 and 65535"},
		{"127.0.0.1:65536", "not between 1 and 65535"},
		{"127.0.0.1:4294967376", "not between 1 and 65535"},
		{"127.0.0.1:18446744073709551696", "not between 1 and 65535"},
		{":80", "no IP address"},
		{"localhost:80", "names are not resolved"},
		{"example.com:80", "names are not resolved"},
		{"256.0.0.1:80", "no IP address"},
		{"1.2.3:80", "no IP address"},
		{"127.1:80", "no IP address"},
		{"1.2.3.4.5:80", "no IP address"},
		{"017.0.0.1:80", "no IP address"},
		{"0x7f000001:80", "no IP address"},
		{"2130706433:80", "no IP address"},
		{" 127.0.0.1:80", "no IP address"},
		{"::1", "stands in brackets"},
		{"::1:80", "stands in brackets"},
		{"127.0.0.1:80:81", "stands in brackets"},
		{"[::1", "not closed"},
		{"[::1:80", "not closed"},
		{"[::1]", "a port must follow"},
		{"[::1]80", "a port must follow"},
		{"[::1]:", "the port is not a number"},
		{"[::1]:0", "not between 1 and 65535"},
		{"[127.0.0.1]:80", "only IPv6"},
		{"[]:80", "only IPv6"},
		{"[:::]:80", "no IP address"},
		{"[::g]:80", "no IP address"},
		{"[1:2:3:4:5:6:7:8:9]:80", "no IP address"},
		{"[::1%no-such-interface]:80", "no IP address"},
		{long_one, "too long"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address address, before;
		const char *why = NULL;

		memset(&before, 0x5a, sizeof(before));
		address = before;
		cr_expect_eq(address_parse(cases[i].text, &address, &why), -EINVAL,
			     "'%s' was accepted", cases[i].text);
		cr_expect(why && strstr(why, cases[i].why), "'%s': '%s' does not say '%s'",
			  cases[i].text, why ? why : "", cases[i].why);
		cr_expect_arr_eq(&address, &before, sizeof(before), "'%s' left something behind",
				 cases[i].text);
	}
}

Test(address, formats_what_is_no_address)
{
	const struct address none = {.length = 0};
	char text[ADDRESS_TEXT];

	cr_assert_str_eq(address_format(&none, text), "(unknown)");
}
