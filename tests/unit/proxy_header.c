// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "intake/proxy_header.h"
#include "unit/address.h"
#include "unit/corpus.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define CLIENT4      "192.0.2.1:56324"
#define SERVER4      "198.51.100.2:443"
#define CLIENT6      "[2001:db8::1]:56324"
#define SERVER6      "[2001:db8::2]:443"

struct answer {
	const char *file;
	enum parse_result result;
	const char *source; /* NULL: that of the connection */
	const char *destination;
	const char *behind; /* what follows the header */
};

#define NONE(file)                                                                                 \
	{                                                                                          \
		file, PARSE_DONE, NULL, NULL, ""                                                   \
	}
#define BAD(file)                                                                                  \
	{                                                                                          \
		file, PARSE_BAD, NULL, NULL, NULL                                                  \
	}
#define MORE(file)                                                                                 \
	{                                                                                          \
		file, PARSE_MORE, NULL, NULL, NULL                                                 \
	}

static const struct answer answers[] = {
	{"haproxy_v1_tcp4", PARSE_DONE, "127.0.0.2:23456", "127.0.0.1:20443", ""},
	{"haproxy_v1_tcp6", PARSE_DONE, "[::1]:23456", "[::1]:20443", ""},
	{"haproxy_v1_check", PARSE_DONE, "127.0.0.1:37706", "127.0.0.1:51919", ""},
	{"haproxy_v2_tcp4", PARSE_DONE, "127.0.0.2:23456", "127.0.0.1:20443", ""},
	{"haproxy_v2_tcp6", PARSE_DONE, "[::1]:23456", "[::1]:20443", ""},
	{"haproxy_v2_tlvs", PARSE_DONE, "127.0.0.2:23456", "127.0.0.1:20443", ""},
	NONE("haproxy_v2_check"),

	{"v1_tcp4", PARSE_DONE, CLIENT4, SERVER4, ""},
	{"v1_tcp6", PARSE_DONE, CLIENT6, SERVER6, ""},
	{"v1_ports_at_the_ends", PARSE_DONE, "0.0.0.0:0", "255.255.255.255:65535", ""},
	{"v1_stream_behind", PARSE_DONE, "192.0.2.1:1", "198.51.100.2:2", "GET / HTTP/1.1\r\n"},
	NONE("v1_unknown"),
	NONE("v1_unknown_rest"),
	NONE("v1_unknown_utf8"),
	NONE("v1_unknown_longest"),
	BAD("v1_unknown_too_long"),
	BAD("v1_unknown_word"),
	BAD("v1_tcp5"),
	BAD("v1_lower"),
	BAD("v1_family"),
	BAD("v1_family_6"),
	BAD("v1_octal_address"),
	BAD("v1_octal_port"),
	BAD("v1_large_port"),
	BAD("v1_huge_port"),
	BAD("v1_signed_port"),
	BAD("v1_port_word"),
	BAD("v1_utf8"),
	BAD("v1_no_port"),
	BAD("v1_one_more"),
	BAD("v1_two_blanks"),
	BAD("v1_blank_behind"),
	BAD("v1_line_feed"),
	BAD("v1_carriage_return"),
	BAD("v1_nul"),
	MORE("v1_half"),

	{"v2_tcp4", PARSE_DONE, CLIENT4, SERVER4, ""},
	{"v2_tcp6", PARSE_DONE, CLIENT6, SERVER6, ""},
	{"v2_stream_behind", PARSE_DONE, CLIENT4, SERVER4, "GET /"},
	{"v2_tlvs", PARSE_DONE, CLIENT4, SERVER4, ""},
	{"v2_tlv_beyond", PARSE_DONE, CLIENT4, SERVER4, ""},
	{"v2_largest", PARSE_DONE, CLIENT4, SERVER4, ""},
	BAD("v2_too_large"),
	NONE("v2_local"),
	NONE("v2_local_addresses"),
	NONE("v2_local_any_kind"),
	NONE("v2_unspec"),
	NONE("v2_unspec_bytes"),
	NONE("v2_unspec_stream"),
	NONE("v2_ipv4_unspec"),
	NONE("v2_udp4"),
	NONE("v2_udp6"),
	NONE("v2_unix"),
	BAD("v2_ipv4_too_short"),
	BAD("v2_ipv6_too_short"),
	BAD("v2_unix_too_short"),
	BAD("v2_version_1"),
	BAD("v2_command_2"),
	BAD("v2_family_4"),
	BAD("v2_transport_3"),
	BAD("v2_signature_wrong"),
	MORE("v2_signature"),
	MORE("v2_half"),

	MORE("empty_line"),
	BAD("tls"),
};

/* What a prefix is, everything that begins so is; MORE leaves the header alone. */
static enum parse_result parse(const char *what, const struct corpus_file *file,
			       struct proxy_header *out)
{
	enum parse_result result = PARSE_MORE;
	size_t size = 0;

	for (size_t length = 0; length <= file->size; length++) {
		struct corpus_file prefix = corpus_prefix(file->bytes, length);
		struct proxy_header before;
		enum parse_result now;

		memset(&before, 0x5a, sizeof(before));
		*out = before;
		now = proxy_header_parse(prefix.bytes, length, out);
		cr_assert(result == PARSE_MORE || now == result, "%s: of two minds at %zu bytes",
			  what, length);
		if (now == PARSE_DONE && result == PARSE_MORE)
			cr_expect_eq((size = out->size), length, "%s: asked for too many bytes",
				     what);
		if (now == PARSE_DONE)
			cr_expect_eq(out->size, size, "%s at %zu bytes", what, length);
		else
			cr_expect_arr_eq(out, &before, sizeof(before), "%s", what);
		result = now;
		free(prefix.bytes);
	}
	return result;
}

static void expect_address(const char *what, const struct address *address, const char *expected)
{
	char text[ADDRESS_TEXT];

	if (expected)
		cr_expect_str_eq(address_format(address, text), expected, "%s: %s", what, text);
	else
		cr_expect_eq(address->length, 0, "%s: an address", what);
}

Test(proxy_header, corpus)
{
	for (size_t i = 0; i < COUNT(answers); i++) {
		const struct answer *answer = &answers[i];
		struct corpus_file file = corpus_load("proxy_header", answer->file);
		struct proxy_header header;
		enum parse_result result = parse(answer->file, &file, &header);

		cr_expect_eq(result, answer->result, "%s: %d", answer->file, result);
		if (result == PARSE_DONE && answer->result == PARSE_DONE) {
			expect_address(answer->file, &header.source, answer->source);
			expect_address(answer->file, &header.destination, answer->destination);
			cr_expect_eq(file.size - header.size, strlen(answer->behind));
			cr_expect_arr_eq(file.bytes + header.size, answer->behind,
					 file.size - header.size);
		}
		free(file.bytes);
	}
	corpus_expect_count("proxy_header", COUNT(answers));
}

/* Byte for byte what HAProxy writes. */
Test(proxy_header, writes_as_haproxy_does)
{
	static const struct {
		const char *file;
		unsigned int version; /* 0: LOCAL */
		const char *source, *destination;
	} cases[] = {
		{"haproxy_v1_tcp4", 1, "127.0.0.2:23456", "127.0.0.1:20443"},
		{"haproxy_v1_tcp6", 1, "[::1]:23456", "[::1]:20443"},
		{"haproxy_v2_tcp4", 2, "127.0.0.2:23456", "127.0.0.1:20443"},
		{"haproxy_v2_tcp6", 2, "[::1]:23456", "[::1]:20443"},
		{"haproxy_v2_check", 0, "", ""},
		/* A dual-stack listener sees IPv4 clients so. */
		{"haproxy_v2_tcp4", 2, "[::ffff:127.0.0.2]:23456", "[::ffff:127.0.0.1]:20443"},
		{"haproxy_v1_tcp4", 1, "[::ffff:127.0.0.2]:23456", "127.0.0.1:20443"},
		{"v1_unknown", 1, "", "127.0.0.1:1"},
		{"v2_unspec", 2, "127.0.0.1:1", ""},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct corpus_file file = corpus_load("proxy_header", cases[i].file);
		struct address source = address_of(cases[i].source);
		struct address destination = address_of(cases[i].destination);
		uint8_t written[PROXY_HEADER_WRITTEN_MAX];
		size_t size = cases[i].version ? proxy_header_write(cases[i].version, &source,
								    &destination, written)
					       : proxy_header_write_local(written);

		cr_expect_eq(size, file.size, "%s: %zu bytes", cases[i].file, size);
		cr_expect_arr_eq(written, file.bytes, file.size, "%s", cases[i].file);
		free(file.bytes);
	}
}

/* What is written is read again, the longest too. */
Test(proxy_header, there_and_back)
{
	static const struct {
		const char *source, *destination;
		const char *read[2]; /* NULL: the same */
	} cases[] = {
		{CLIENT4, SERVER4, {NULL, NULL}},
		{CLIENT6, SERVER6, {NULL, NULL}},
		{"255.255.255.255:65535", "255.255.255.255:65535", {NULL, NULL}},
		{"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		 "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535",
		 {NULL, NULL}},
		{CLIENT4, SERVER6, {"[::ffff:192.0.2.1]:56324", NULL}},
		{CLIENT6, SERVER4, {NULL, "[::ffff:198.51.100.2]:443"}},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct address source = address_of(cases[i].source);
		struct address destination = address_of(cases[i].destination);

		for (unsigned int version = 1; version <= 2; version++) {
			uint8_t written[PROXY_HEADER_WRITTEN_MAX];
			size_t size = proxy_header_write(version, &source, &destination, written);
			struct corpus_file file = {.bytes = written, .size = size};
			struct proxy_header header;

			cr_assert_leq(size, sizeof(written));
			cr_assert_eq(parse(cases[i].source, &file, &header), PARSE_DONE);
			cr_expect_eq(header.size, size);
			expect_address("source", &header.source,
				       cases[i].read[0] ? cases[i].read[0] : cases[i].source);
			expect_address("destination", &header.destination,
				       cases[i].read[1] ? cases[i].read[1] : cases[i].destination);
		}
	}
}
