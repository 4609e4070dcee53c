// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "unit/corpus.h"
#include "unit/inspection.h"
#include "unit/seed.h"

#define COUNT(array)    (sizeof(array) / sizeof((array)[0]))

#define SHOP            "shop.example.org"
#define RECORD          16384
#define LARGEST_PADDING (65535 - 4 - 9 - (sizeof(SHOP) - 1))
#define LABEL_63        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_NAME       LABEL_63 "." LABEL_63 "." LABEL_63 "." LABEL_63
#define X_40            "-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define Z_51            "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"
#define X_50            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* Those named after a program were recorded from it. */
static const struct inspection answers[] = {
	{"curl", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, "h2,http/1.1"},
	{"gnutls", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, "h2"},
	{"gnutls_tls12", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, NULL},
	{"openssl", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, "h2,http/1.1"},
	{"openssl_dot_and_upper_case", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, NULL},
	{"openssl_many_records", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL,
	 "p000" X_40 ",p001" X_40 ",p002" X_40 ",p003" X_40 ",p004" X_40},
	{"openssl_no_sni", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, NULL},
	{"openssl_tls10", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, NULL},
	{"openssl_tls12", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, NULL},
	{"python_resumed", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, "h2,http/1.1"},

	{"grease", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, "**,h2,http/1.1"},
	{"no_extensions", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, NULL},
	{"empty_extensions", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, NULL},
	{"protocols_alone", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "http/1.1"},
	{"protocols_beyond_room", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL,
	 X_50 X_50 X_50 X_50 ",h2"},
	{"protocols_beyond_room_by_one", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL,
	 X_50 X_50 X_50 X_50 ",h2"},
	{"longest_protocol", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, Z_51 Z_51 Z_51 Z_51 Z_51},
	{"empty_protocol", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"two_protocol_extensions", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},

	{"name_address", INSPECT_DONE, PROTOCOL_TLS, "192.0.2.1", NULL, NULL},
	{"name_longest", INSPECT_DONE, PROTOCOL_TLS, LONG_NAME, NULL, NULL},
	{"name_longest_with_dot", INSPECT_DONE, PROTOCOL_TLS, LONG_NAME, NULL, NULL},
	{"name_one_label", INSPECT_DONE, PROTOCOL_TLS, "localhost", NULL, NULL},
	{"name_underscore", INSPECT_DONE, PROTOCOL_TLS, "_shop.example.org", NULL, NULL},
	{"name_blank", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_colon", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_dot", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_empty", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_empty_label", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_label_too_long", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_leading_dot", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_nul", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_too_long", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_two_dots", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_utf8", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"name_wildcard", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, "h2"},
	{"no_names", INSPECT_DONE, PROTOCOL_TLS, NULL, NULL, NULL},
	{"unknown_name_type", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, NULL},
	{"two_host_names", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"two_name_extensions", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"empty_name_extension", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},

	/* Lengths that do not agree. */
	{"list_beyond_extension", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"list_within_extension", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"name_beyond_list", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"extension_beyond_message", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"half_an_extension", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"bytes_behind_extensions", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"extensions_beyond_message", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"session_id_too_long", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"no_cipher_suites", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"no_compression", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"message_too_large", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"message_too_small", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},

	{"records_of_one_byte", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, "h2"},
	{"records_of_a_hundred_bytes", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, "h2"},
	{"versions_of_records", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, "h2"},
	{"more_behind", INSPECT_DONE, PROTOCOL_TLS, SHOP, NULL, "h2"},
	{"empty_record", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"empty_first_record", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"record_too_large", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"data_between", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"alert_between", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"record_version_2", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"second_record_version_2", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"version_2", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"server_hello", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"sslv2", INSPECT_DONE, PROTOCOL_OTHER, NULL, NULL, NULL},

	{"half", INSPECT_MORE, PROTOCOL_TLS, NULL, NULL, NULL},
	{"half_behind_names", INSPECT_MORE, PROTOCOL_TLS, SHOP, NULL, NULL},
	{"half_header", INSPECT_MORE, PROTOCOL_OTHER, NULL, NULL, NULL},
	{"first_byte", INSPECT_MORE, PROTOCOL_OTHER, NULL, NULL, NULL},
};

Test(client_hello, corpus)
{
	inspection_expect("client_hello", answers, COUNT(answers));
}

/* A handshake message, to be put into records. */
struct message {
	uint8_t bytes[160 * 1024];
	size_t size;
};

static void put(struct message *message, const void *bytes, size_t size)
{
	memcpy(message->bytes + message->size, bytes, size);
	message->size += size;
}

static void put_number(struct message *message, size_t number, unsigned int size)
{
	while (size--)
		message->bytes[message->size++] = (uint8_t)(number >> 8 * size);
}

static void put_zeros(struct message *message, size_t size)
{
	memset(message->bytes + message->size, 0, size);
	message->size += size;
}

/* The name stands behind `padding` bytes of another extension (RFC 7685) and so many of ciphers. */
static void build(struct message *message, size_t ciphers, size_t padding)
{
	const size_t name = strlen(SHOP), extensions = 4 + padding + 9 + name;

	message->size = 0;
	put_number(message, 1, 1);
	put_number(message, 2 + 32 + 1 + 32 + 2 + ciphers + 1 + 255 + 2 + extensions, 3);
	put_number(message, 0x0303, 2);
	put_zeros(message, 32);
	put_number(message, 32, 1);
	put_zeros(message, 32);
	put_number(message, ciphers, 2);
	put_zeros(message, ciphers);
	put_number(message, 255, 1);
	put_zeros(message, 255);
	put_number(message, extensions, 2);
	put_number(message, 21, 2);
	put_number(message, padding, 2);
	put_zeros(message, padding);
	put_number(message, 0, 2);
	put_number(message, name + 5, 2);
	put_number(message, name + 3, 2);
	put_number(message, 0, 1);
	put_number(message, name, 2);
	put(message, SHOP, name);
}

/* In records of at most `fragment` bytes; 0: each of a random size. Free it. */
static struct corpus_file in_records(const struct message *message, size_t fragment,
				     struct rng *rng)
{
	struct corpus_file stream = {.bytes = malloc(6 * message->size + 5)};

	for (size_t at = 0; at < message->size;) {
		size_t size = fragment ? fragment : rng_range(rng, 1, 1 << rng_range(rng, 0, 9));
		uint8_t *header = stream.bytes + stream.size;

		if (size > message->size - at)
			size = message->size - at;
		memcpy(header, "\x16\3\1", 3);
		header[3] = (uint8_t)(size >> 8);
		header[4] = (uint8_t)size;
		memcpy(header + 5, message->bytes + at, size);
		stream.size += 5 + size;
		at += size;
	}
	return stream;
}

/* Larger than a record, up to the largest. */
Test(client_hello, over_many_records)
{
	static const struct {
		size_t ciphers, padding;
	} cases[] = {
		{2, 0},     {2, RECORD - 400},    {2, RECORD - 392},
		{2, 40000}, {2, LARGEST_PADDING}, {65534, LARGEST_PADDING},
	};
	static struct message message;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct corpus_file stream;
		struct inspected inspected;

		build(&message, cases[i].ciphers, cases[i].padding);
		stream = in_records(&message, RECORD, NULL);
		cr_expect_eq(inspect(stream.bytes, stream.size, false, &inspected), INSPECT_DONE);
		cr_expect_eq(inspected.protocol, PROTOCOL_TLS);
		cr_expect_str_eq(inspected.sni, SHOP, "behind %zu bytes", cases[i].padding);
		cr_expect_eq(inspect(stream.bytes, stream.size - 1, false, &inspected),
			     INSPECT_MORE);
		cr_expect_eq(inspect(stream.bytes, stream.size - 1, true, &inspected),
			     INSPECT_DONE);
		cr_expect_eq(inspected.protocol, PROTOCOL_TLS);
		cr_expect_str_empty(inspected.sni);
		free(stream.bytes);
	}
}

/* What the records of a file carry, as far as they go. */
static void unpack(const struct corpus_file *file, struct message *message)
{
	size_t size;

	message->size = 0;
	for (size_t at = 0; at + 5 <= file->size; at += 5 + size) {
		size = (size_t)(file->bytes[at + 3] << 8 | file->bytes[at + 4]);
		cr_assert_leq(at + 5 + size, file->size);
		put(message, file->bytes + at + 5, size);
	}
}

/* Records may end anywhere: the message says the same in all that could carry it. */
Test(client_hello, any_records)
{
	static const char *const files[] = {"curl", "gnutls", "openssl_many_records", "grease",
					    "two_host_names"};
	static struct message message;
	struct rng rng = seeded("any_records");

	for (size_t i = 0; i < COUNT(files); i++) {
		struct corpus_file file = corpus_load("client_hello", files[i]);
		struct inspected whole, split;

		inspect(file.bytes, file.size, false, &whole);
		unpack(&file, &message);
		for (size_t fragment = 1; fragment <= message.size; fragment++) {
			struct corpus_file stream = in_records(&message, fragment, NULL);

			cr_expect_eq(inspect(stream.bytes, stream.size, false, &split),
				     INSPECT_DONE);
			cr_expect(inspection_same(&split, &whole), "%s in records of %zu", files[i],
				  fragment);
			free(stream.bytes);
		}
		for (int round = 0; round < 8; round++) {
			struct corpus_file stream = in_records(&message, 0, &rng);

			cr_expect_eq(inspection_of(files[i], stream.bytes, stream.size, &split),
				     INSPECT_DONE);
			cr_expect(inspection_same(&split, &whole), "%s in random records",
				  files[i]);
			free(stream.bytes);
		}
		free(file.bytes);
	}
}

/* A broken byte makes it another one or none: but never of two minds. */
Test(client_hello, broken_anywhere)
{
	struct corpus_file file = corpus_load("client_hello", "grease");
	struct rng rng = seeded("broken_anywhere");

	for (size_t at = 0; at < file.size; at++) {
		uint8_t was = file.bytes[at];
		struct inspected inspected;

		for (int round = 0; round < 4; round++) {
			file.bytes[at] = (uint8_t)rng_next(&rng);
			inspection_of("grease, broken", file.bytes, file.size, &inspected);
		}
		file.bytes[at] = was;
	}
	free(file.bytes);
}

Test(client_hello, offers)
{
	static const struct {
		const char *file, *protocol;
		bool offered;
	} cases[] = {
		{"curl", "h2", true},         {"curl", "http/1.1", true},
		{"curl", "h", false},         {"curl", "h2,http/1.1", false},
		{"curl", "", false},          {"curl", "http/1.0", false},
		{"openssl_tls12", "", false}, {"openssl_tls12", "h2", false},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct corpus_file file = corpus_load("client_hello", cases[i].file);
		struct inspected inspected;

		inspect(file.bytes, file.size, false, &inspected);
		cr_expect_eq(inspected_offers(&inspected, cases[i].protocol), cases[i].offered,
			     "%s: '%s'", cases[i].file, cases[i].protocol);
		free(file.bytes);
	}
}
