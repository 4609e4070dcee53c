// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/http_head.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "intake/host_name.h"

/* The longest registered method has 17 characters; another protocol may never send a blank. */
#define METHOD_MAX 32

struct span {
	const uint8_t *bytes;
	size_t size;
};

struct head {
	struct span rest; /* not read yet */
	enum parse_result result;
	bool host_seen;
	bool target_has_host;
};

/* RFC 9110, 5.6.2 */
static bool is_token(uint8_t byte)
{
	return byte > ' ' && byte < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", byte);
}

/* Beyond ASCII too: old clients send UTF-8 that they should have escaped. */
static bool is_visible(uint8_t byte)
{
	return byte > ' ' && byte != 0x7f;
}

static bool is_text(uint8_t byte)
{
	return is_visible(byte) || byte == ' ' || byte == '\t';
}

static bool is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

/* RFC 3986, 3.1 */
static bool is_scheme(uint8_t byte)
{
	return ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') || is_digit(byte) || byte == '+' ||
	       byte == '-' || byte == '.';
}

static bool equals(const struct span *span, const char *text)
{
	return span->size == strlen(text) && !memcmp(span->bytes, text, span->size);
}

static void advance(struct span *span, size_t size)
{
	span->bytes += size;
	span->size -= size;
}

static size_t count(const struct span *span, bool (*of_kind)(uint8_t))
{
	size_t size = 0;

	while (size < span->size && of_kind(span->bytes[size]))
		size++;
	return size;
}

static bool going_on(const struct head *head)
{
	return head->result == PARSE_DONE;
}

static void require(struct head *head, bool condition)
{
	parse_require(&head->result, condition);
}

/* From `min` to `max` bytes of a kind. Without the byte behind them there may be more of them. */
static struct span take(struct head *head, bool (*of_kind)(uint8_t), size_t min, size_t max)
{
	struct span taken = {.bytes = head->rest.bytes};

	if (!going_on(head))
		return taken;
	taken.size = count(&head->rest, of_kind);
	advance(&head->rest, taken.size);
	require(head, taken.size <= max);
	if (!head->rest.size)
		parse_stop(&head->result, PARSE_MORE);
	require(head, taken.size >= min);
	return taken;
}

static void expect(struct head *head, const char *text)
{
	size_t length = strlen(text);
	size_t common = length < head->rest.size ? length : head->rest.size;

	if (!going_on(head))
		return;
	require(head, !memcmp(head->rest.bytes, text, common));
	if (common < length)
		parse_stop(&head->result, PARSE_MORE);
	advance(&head->rest, common);
}

static bool next_is(const struct head *head, uint8_t byte)
{
	return going_on(head) && head->rest.size && *head->rest.bytes == byte;
}

/* A line feed alone is understood, a carriage return alone is an error (RFC 9112, 2.2). */
static void end_line(struct head *head)
{
	expect(head, next_is(head, '\r') ? "\r\n" : "\n");
}

/* Of "http://authority/path"; false where there is none. */
static bool find_authority(const struct span *target, struct span *authority)
{
	size_t scheme = count(target, is_scheme);
	struct span rest = *target;

	advance(&rest, scheme);
	if (!scheme || rest.size < 3 || memcmp(rest.bytes, "://", 3) != 0)
		return false;
	advance(&rest, 3);
	*authority = (struct span){.bytes = rest.bytes};
	while (authority->size < rest.size && !strchr("/?#", rest.bytes[authority->size]))
		authority->size++;
	return true;
}

/* One of the four forms of RFC 9112, 3.2. */
static void read_target(struct head *head, const struct span *method, struct inspected *out)
{
	struct span target = take(head, is_visible, 1, SIZE_MAX);
	struct span authority = target;

	if (!going_on(head))
		return;
	head->target_has_host = equals(method, "CONNECT") || find_authority(&target, &authority);
	if (head->target_has_host)
		host_name_of_authority(authority.bytes, authority.size, out->host);
	else
		require(head, *target.bytes == '/' || equals(&target, "*"));
}

/* HTTP/2's preface was made to look like a head without fields. */
static void read_request_line(struct head *head, struct inspected *out)
{
	struct span method = take(head, is_token, 1, METHOD_MAX);

	expect(head, " ");
	if (equals(&method, "PRI")) {
		expect(head, "* HTTP/2.0");
	} else {
		read_target(head, &method, out);
		expect(head, " HTTP/1.");
		take(head, is_digit, 1, 1);
	}
	end_line(head);
	if (going_on(head))
		out->protocol = PROTOCOL_HTTP;
}

static void read_field(struct head *head, struct inspected *out)
{
	struct span name = take(head, is_token, 1, SIZE_MAX);
	struct span value;

	expect(head, ":");
	value = take(head, is_text, 0, SIZE_MAX);
	end_line(head);
	if (!going_on(head) || name.size != 4 ||
	    strncasecmp((const char *)name.bytes, "host", 4) != 0)
		return;
	require(head, !head->host_seen);
	head->host_seen = true;
	while (value.size && !is_visible(*value.bytes))
		advance(&value, 1);
	while (value.size && !is_visible(value.bytes[value.size - 1]))
		value.size--;
	if (going_on(head) && !head->target_has_host)
		host_name_of_authority(value.bytes, value.size, out->host);
}

enum parse_result http_head_parse(const uint8_t *bytes, size_t size, struct inspected *out)
{
	struct head head = {
		.rest = {.bytes = bytes, .size = size},
		.result = PARSE_DONE,
	};

	read_request_line(&head, out);
	while (going_on(&head) && head.rest.size && !next_is(&head, '\r') && !next_is(&head, '\n'))
		read_field(&head, out);
	end_line(&head);
	return head.result;
}
