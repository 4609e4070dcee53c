// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "unit/corpus.h"
#include "unit/inspection.h"
#include "unit/seed.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define SHOP         "shop.example.org"

#define HTTP(file, host)                                                                           \
	{                                                                                          \
		file, INSPECT_DONE, PROTOCOL_HTTP, NULL, host, NULL                                \
	}
#define OTHER(file)                                                                                \
	{                                                                                          \
		file, INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL                               \
	}
#define SSH(file)                                                                                  \
	{                                                                                          \
		file, INSPECT_DONE, PROTOCOL_SSH, NULL, NULL, NULL                                 \
	}
#define MORE(file)                                                                                 \
	{                                                                                          \
		file, INSPECT_MORE, PROTOCOL_OTHER, NULL, NULL, NULL                               \
	}
#define HALF(file, host)                                                                           \
	{                                                                                          \
		file, INSPECT_MORE, PROTOCOL_HTTP, NULL, host, NULL                                \
	}

/* Those named after a program were recorded from it. */
static const struct inspection answers[] = {
	HTTP("curl", SHOP),
	HTTP("curl_absolute", SHOP),
	HTTP("curl_connect", SHOP),
	HTTP("curl_http2", NULL),
	HTTP("curl_ipv6", "[::1]"),
	HTTP("python_http_client", SHOP),
	SSH("openssh"),

	HTTP("host_any_case", SHOP),
	HTTP("host_without_blank", SHOP),
	HTTP("host_between_blanks", SHOP),
	HTTP("host_last", SHOP),
	HTTP("host_dot", SHOP),
	HTTP("host_port", SHOP),
	HTTP("host_empty_port", SHOP),
	HTTP("host_port_no_number", NULL),
	HTTP("host_ipv4", "192.0.2.1"),
	HTTP("host_ipv6", "[2001:db8::1]"),
	HTTP("host_ipv6_port", "[::1]"),
	HTTP("host_ipv6_open", NULL),
	HTTP("host_ipv6_zone", NULL),
	HTTP("host_ipv6_tail", NULL),
	HTTP("host_ipv6_bare", NULL),
	HTTP("host_empty", NULL),
	HTTP("host_none", NULL),
	HTTP("host_invalid", NULL),
	HTTP("host_list", NULL),
	HTTP("host_user", NULL),
	HTTP("host_too_long", NULL),
	OTHER("host_two"),
	OTHER("host_two_empty"),
	OTHER("host_blank_before_colon"),
	OTHER("host_folded"),
	OTHER("first_line_folded"),
	OTHER("no_colon"),
	OTHER("no_field_name"),

	HTTP("line_feeds", SHOP),
	OTHER("carriage_returns"),
	OTHER("carriage_return_in_value"),
	OTHER("nul_in_value"),
	OTHER("delete_in_value"),
	HTTP("utf8_in_value", SHOP),

	HTTP("http_1_0", SHOP),
	HTTP("http_1_0_bare", NULL),
	HTTP("http_1_9", SHOP),
	OTHER("http_0_9"),
	OTHER("http_2_0"),
	OTHER("http_1_10"),
	OTHER("http_lower"),
	OTHER("http2_path"),
	OTHER("http2_as_1"),
	MORE("http2_prefix"),

	HTTP("absolute", SHOP),
	HTTP("absolute_first", SHOP),
	HTTP("absolute_ipv6", "[::1]"),
	HTTP("absolute_user", NULL),
	HTTP("absolute_empty", NULL),
	OTHER("absolute_two_hosts"),
	HTTP("target_with_url", SHOP),
	HTTP("target_asterisk", SHOP),
	HTTP("target_utf8", SHOP),
	OTHER("target_word"),
	OTHER("target_no_scheme"),
	OTHER("target_nul"),
	OTHER("target_empty"),
	HTTP("connect", "db.example.org"),
	HTTP("connect_path", NULL),
	HTTP("method_lower", SHOP),
	HTTP("method_own", SHOP),
	HTTP("method_longest", SHOP),
	OTHER("method_too_long"),
	OTHER("method_colon"),
	OTHER("blanks_two"),
	OTHER("blank_behind_version"),
	OTHER("empty_line_first"),
	OTHER("tab_in_line"),
	HTTP("body_behind", SHOP),

	HALF("no_end", SHOP),
	HALF("half_field", NULL),
	MORE("half_line"),
	MORE("half_absolute"),
	MORE("half_method"),
	MORE("one_byte"),

	OTHER("redis"),
	OTHER("redis_inline"),
	OTHER("memcached"),
	OTHER("smtp"),
	OTHER("irc"),
	OTHER("amqp"),
	OTHER("postgresql"),
	OTHER("nul"),
	SSH("ssh"),
	SSH("ssh_alone"),
	MORE("ssh_half"),
	MORE("ssh_other"),
	HTTP("ssh_method", SHOP),
};

Test(http_head, corpus)
{
	inspection_expect("http_head", answers, COUNT(answers));
}

/* A first byte that begins no protocol is told at once; the others may still be something. */
Test(http_head, first_bytes)
{
	static const char begin[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz\x16";

	for (unsigned int byte = 0; byte < 256; byte++) {
		const uint8_t first = (uint8_t)byte;
		bool may = byte && strchr(begin, (int)byte);
		struct inspected inspected;

		cr_expect_eq(inspect(&first, 1, false, &inspected),
			     may ? INSPECT_MORE : INSPECT_DONE, "%#x", byte);
		cr_expect_eq(inspected.protocol, PROTOCOL_OTHER);
	}
}

Test(http_head, silence)
{
	struct inspected inspected;

	cr_expect_eq(inspect(NULL, 0, false, &inspected), INSPECT_MORE);
	cr_expect_eq(inspect(NULL, 0, true, &inspected), INSPECT_DONE);
	cr_expect_eq(inspected.protocol, PROTOCOL_OTHER);
	cr_expect_str_empty(inspected.sni);
	cr_expect_str_empty(inspected.host);
	cr_expect_eq(inspected.alpn_size, 0);
}

/* A broken byte makes it another one or none: but never of two minds. */
Test(http_head, broken_anywhere)
{
	struct corpus_file file = corpus_load("http_head", "curl_absolute");
	struct rng rng = seeded("broken_anywhere");
	struct inspected inspected;

	for (size_t at = 0; at < file.size; at++) {
		uint8_t was = file.bytes[at];

		for (int round = 0; round < 16; round++) {
			file.bytes[at] = (uint8_t)rng_next(&rng);
			inspection_of("curl_absolute, broken", file.bytes, file.size, &inspected);
		}
		file.bytes[at] = was;
	}
	free(file.bytes);
}
