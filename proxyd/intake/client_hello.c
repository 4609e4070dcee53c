// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/client_hello.h"

#include <stdbool.h>
#include <string.h>

#include "intake/host_name.h"

#define RECORD_HEADER       5
#define RECORD_MAX          16384 /* RFC 8446, 5.1 */
#define HANDSHAKE_HEADER    4
#define CLIENT_HELLO        1
#define RANDOM_SIZE         32
#define SESSION_ID_MAX      32
#define EXTENSION_NAMES     0  /* RFC 6066, 3 */
#define EXTENSION_PROTOCOLS 16 /* RFC 7301, 3.1 */
#define NAME_TYPE_HOST      0

/* No field can be larger than its length says: so no ClientHello is larger than this. */
#define MESSAGE_MAX (2 + RANDOM_SIZE + 1 + SESSION_ID_MAX + 2 + 65534 + 1 + 255 + 2 + 65535)

/* Reads the message wherever its records end. */
struct reader {
	const uint8_t *at; /* in the stream */
	const uint8_t *end;
	size_t fragment; /* bytes of the message left in this record */
	size_t left; /* bytes left in the innermost block: a part of the message with a length */
	enum parse_result result; /* PARSE_DONE: so far, so good */
	bool names_seen;
	bool protocols_seen;
};

static bool going_on(const struct reader *reader)
{
	return reader->result == PARSE_DONE;
}

static void require(struct reader *reader, bool condition)
{
	parse_require(&reader->result, condition);
}

/*
 * Any version {3, x} is taken (RFC 5246, E.1). A record of a handshake is not empty, and none of
 * another kind comes between (RFC 8446, 5.1).
 */
static void next_record(struct reader *reader)
{
	size_t available = (size_t)(reader->end - reader->at);

	require(reader, available < 1 || reader->at[0] == CLIENT_HELLO_FIRST_BYTE);
	require(reader, available < 2 || reader->at[1] == 3);
	if (available < RECORD_HEADER)
		parse_stop(&reader->result, PARSE_MORE);
	if (!going_on(reader))
		return;
	reader->fragment = (size_t)(reader->at[3] << 8 | reader->at[4]);
	reader->at += RECORD_HEADER;
	require(reader, reader->fragment >= 1 && reader->fragment <= RECORD_MAX);
}

/* At most `size` bytes of the block that lie in one piece; returns how many, 0: it is over. */
static size_t piece(struct reader *reader, size_t size, const uint8_t **bytes)
{
	size_t available;

	require(reader, size <= reader->left);
	if (going_on(reader) && !reader->fragment)
		next_record(reader);
	if (going_on(reader) && reader->at == reader->end)
		parse_stop(&reader->result, PARSE_MORE);
	if (!going_on(reader))
		return 0;
	available = (size_t)(reader->end - reader->at);
	if (size > available)
		size = available;
	if (size > reader->fragment)
		size = reader->fragment;
	*bytes = reader->at;
	reader->at += size;
	reader->fragment -= size;
	reader->left -= size;
	return size;
}

static void skip(struct reader *reader, size_t size)
{
	const uint8_t *ignored;

	while (size && going_on(reader))
		size -= piece(reader, size, &ignored);
}

/* Big-endian; 0 when it cannot be read. */
static size_t number(struct reader *reader, unsigned int size)
{
	const uint8_t *byte;
	size_t value = 0;

	while (size-- && piece(reader, 1, &byte))
		value = value << 8 | *byte;
	return going_on(reader) ? value : 0;
}

/* Go into a block behind its length, of `size` bytes. Returns what is left behind the block. */
static size_t enter(struct reader *reader, unsigned int size)
{
	size_t length = number(reader, size), behind;

	require(reader, length <= reader->left);
	if (!going_on(reader))
		return 0;
	behind = reader->left - length;
	reader->left = length;
	return behind;
}

static void leave(struct reader *reader, size_t behind)
{
	require(reader, !reader->left);
	reader->left = behind;
}

static bool more(const struct reader *reader)
{
	return going_on(reader) && reader->left;
}

static void skip_block(struct reader *reader, unsigned int size, size_t min, size_t max)
{
	size_t behind = enter(reader, size);

	require(reader, reader->left >= min && reader->left <= max);
	skip(reader, reader->left);
	leave(reader, behind);
}

/* The rest of the block into `bytes`, as far as there is room. Returns its size. */
static size_t take(struct reader *reader, uint8_t *bytes, size_t room)
{
	const uint8_t *byte;
	size_t size = 0;

	for (; more(reader) && piece(reader, 1, &byte); size++) {
		if (size < room)
			bytes[size] = *byte;
	}
	return size;
}

/*
 * RFC 6066, 3. At most one name of a type, or proxyd and the server could go by different ones.
 * Types that are still to come have the same form.
 */
static void read_names(struct reader *reader, struct inspected *out)
{
	uint8_t name[INSPECT_NAME_MAX + 1]; /* one for the dot at the end */
	size_t behind = enter(reader, 2);
	bool seen = false;

	while (more(reader)) {
		bool host = number(reader, 1) == NAME_TYPE_HOST;
		size_t behind_name = enter(reader, 2);
		size_t size = take(reader, name, sizeof(name));

		leave(reader, behind_name);
		require(reader, !host || !seen);
		if (!going_on(reader) || !host)
			continue;
		seen = true;
		if (size <= sizeof(name))
			host_name_normalise(name, size, out->sni);
	}
	leave(reader, behind);
}

static void add_protocol(struct inspected *out, const uint8_t *name, size_t size)
{
	if (out->alpn_size + 1 + size > INSPECT_ALPN_MAX)
		return;
	out->alpn[out->alpn_size] = (uint8_t)size;
	memcpy(out->alpn + out->alpn_size + 1, name, size);
	out->alpn_size += (uint16_t)(1 + size);
}

/* RFC 7301, 3.1. No name is empty. */
static void read_protocols(struct reader *reader, struct inspected *out)
{
	uint8_t name[255];
	size_t behind = enter(reader, 2);

	while (more(reader)) {
		size_t behind_name = enter(reader, 1);
		size_t size = take(reader, name, sizeof(name));

		leave(reader, behind_name);
		require(reader, size > 0);
		if (going_on(reader))
			add_protocol(out, name, size);
	}
	leave(reader, behind);
}

/* RFC 8446, 4.2: none comes twice. */
static void read_extension(struct reader *reader, struct inspected *out)
{
	size_t type = number(reader, 2);
	size_t behind = enter(reader, 2);

	if (!going_on(reader))
		return;
	if (type == EXTENSION_NAMES) {
		require(reader, !reader->names_seen);
		reader->names_seen = true;
		read_names(reader, out);
	} else if (type == EXTENSION_PROTOCOLS) {
		require(reader, !reader->protocols_seen);
		reader->protocols_seen = true;
		read_protocols(reader, out);
	} else {
		skip(reader, reader->left);
	}
	leave(reader, behind);
}

static void read_extensions(struct reader *reader, struct inspected *out)
{
	size_t behind = enter(reader, 2);

	while (more(reader))
		read_extension(reader, out);
	leave(reader, behind);
}

enum parse_result client_hello_parse(const uint8_t *bytes, size_t size, struct inspected *out)
{
	struct reader reader = {
		.at = bytes,
		.end = bytes + size,
		.left = HANDSHAKE_HEADER + MESSAGE_MAX,
		.result = PARSE_DONE,
	};

	require(&reader, number(&reader, 1) == CLIENT_HELLO);
	if (!going_on(&reader))
		return reader.result;
	out->protocol = PROTOCOL_TLS;
	enter(&reader, 3);
	require(&reader, number(&reader, 2) >> 8 == 3);
	skip(&reader, RANDOM_SIZE);
	skip_block(&reader, 1, 0, SESSION_ID_MAX);
	skip_block(&reader, 2, 2, 65534); /* cipher suites */
	skip_block(&reader, 1, 1, 255);   /* compression methods */
	/* TLS 1.2 and before could do without extensions (RFC 5246, 7.4.1.2). */
	if (more(&reader))
		read_extensions(&reader, out);
	leave(&reader, 0);
	return reader.result;
}
