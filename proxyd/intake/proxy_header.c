// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/proxy_header.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/cidr.h"

#define LINE_MAX_SIZE 107 /* with its CR and LF */

enum command {
	COMMAND_LOCAL = 0x20,
	COMMAND_PROXY = 0x21,
};

enum family {
	FAMILY_UNSPEC = 0,
	FAMILY_IPV4 = 1,
	FAMILY_IPV6 = 2,
	FAMILY_UNIX = 3,
};

enum transport {
	TRANSPORT_STREAM = 1,
	TRANSPORT_DATAGRAM = 2,
};

/* What every header of version 2 begins with. */
struct fixed {
	uint8_t signature[12];
	uint8_t command; /* the version, 2, in the upper half */
	uint8_t kind;    /* enum family in the upper half, enum transport in the lower */
	uint8_t length[2];
};

static const char text_signature[] = "PROXY ";
static const uint8_t signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* Of one of the families: how long an IP address is. */
static size_t ip_size(int family)
{
	return family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr);
}

/* `port` in network byte order. */
static void set_address(struct address *out, int family, const void *ip, const void *port)
{
	memset(out, 0, sizeof(*out));
	out->any.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		out->length = sizeof(out->ipv4);
		memcpy(&out->ipv4.sin_addr, ip, sizeof(out->ipv4.sin_addr));
		memcpy(&out->ipv4.sin_port, port, sizeof(out->ipv4.sin_port));
	} else {
		out->length = sizeof(out->ipv6);
		memcpy(&out->ipv6.sin6_addr, ip, sizeof(out->ipv6.sin6_addr));
		memcpy(&out->ipv6.sin6_port, port, sizeof(out->ipv6.sin6_port));
	}
}

/* --- Version 1 ----------------------------------------------------------------------------- */

/* The part of the line before the next blank; exactly one stands between two parts. */
static const char *next_part(char **rest)
{
	const char *part = strsep(rest, " ");

	return part ? part : "";
}

/* Decimal, without zeros in front, which somebody might take for octal. */
static bool text_to_port(const char *text, uint16_t *port)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long value = strtoul(text, NULL, 10);

	*port = htons((uint16_t)value);
	return digits > 0 && !text[digits] && value <= 65535 && (*text != '0' || digits == 1);
}

static enum parse_result read_line(char *line, struct proxy_header *out)
{
	const char *protocol = next_part(&line), *source, *destination;
	struct in6_addr source_ip, destination_ip;
	uint16_t source_port, destination_port;
	int family;

	if (!strcmp(protocol, "UNKNOWN"))
		return PARSE_DONE;
	if (strcmp(protocol, "TCP4") != 0 && strcmp(protocol, "TCP6") != 0)
		return PARSE_BAD;
	family = protocol[3] == '4' ? AF_INET : AF_INET6;
	source = next_part(&line);
	destination = next_part(&line);
	if (inet_pton(family, source, &source_ip) != 1 ||
	    inet_pton(family, destination, &destination_ip) != 1 ||
	    !text_to_port(next_part(&line), &source_port) ||
	    !text_to_port(next_part(&line), &destination_port) || line)
		return PARSE_BAD;
	set_address(&out->source, family, &source_ip, &source_port);
	set_address(&out->destination, family, &destination_ip, &destination_port);
	return PARSE_DONE;
}

static enum parse_result parse_text(const uint8_t *bytes, size_t size, struct proxy_header *out)
{
	size_t start = strlen(text_signature), end = start;
	char line[LINE_MAX_SIZE];

	while (end < size && end < LINE_MAX_SIZE - 2 && bytes[end] >= ' ')
		end++;
	if (end < size && bytes[end] != '\r')
		return PARSE_BAD;
	if (end + 1 < size && bytes[end + 1] != '\n')
		return PARSE_BAD;
	if (end + 2 > size)
		return PARSE_MORE;
	memcpy(line, bytes + start, end - start);
	line[end - start] = '\0';
	out->size = end + 2;
	return read_line(line, out);
}

/* --- Version 2 ----------------------------------------------------------------------------- */

/* How many bytes of addresses come behind the fixed part; what it cannot be is PARSE_BAD. */
static enum parse_result check_fixed(const struct fixed *fixed, size_t length)
{
	static const size_t addresses[] = {
		[FAMILY_UNSPEC] = 0,
		[FAMILY_IPV4] = 2 * (4 + 2),
		[FAMILY_IPV6] = 2 * (16 + 2),
		[FAMILY_UNIX] = 2 * 108,
	};
	unsigned int family = fixed->kind >> 4;

	if (length > PROXY_HEADER_MAX - sizeof(*fixed))
		return PARSE_BAD;
	if (fixed->command == COMMAND_LOCAL)
		return PARSE_DONE;
	if (fixed->command != COMMAND_PROXY || family > FAMILY_UNIX ||
	    (fixed->kind & 0x0f) > TRANSPORT_DATAGRAM || length < addresses[family])
		return PARSE_BAD;
	return PARSE_DONE;
}

static void read_addresses(const uint8_t *bytes, int family, struct proxy_header *out)
{
	const size_t size = ip_size(family);

	set_address(&out->source, family, bytes, bytes + 2 * size);
	set_address(&out->destination, family, bytes + size, bytes + 2 * size + 2);
}

static enum parse_result parse_binary(const uint8_t *bytes, size_t size, struct proxy_header *out)
{
	struct fixed fixed;
	size_t length;

	if (size > sizeof(signature) && bytes[sizeof(signature)] != COMMAND_LOCAL &&
	    bytes[sizeof(signature)] != COMMAND_PROXY)
		return PARSE_BAD;
	if (size < sizeof(fixed))
		return PARSE_MORE;
	memcpy(&fixed, bytes, sizeof(fixed));
	length = (size_t)(fixed.length[0] << 8 | fixed.length[1]);
	if (check_fixed(&fixed, length) != PARSE_DONE)
		return PARSE_BAD;
	out->size = sizeof(fixed) + length;
	if (size < out->size)
		return PARSE_MORE;
	if (fixed.command == COMMAND_LOCAL)
		return PARSE_DONE;
	if (fixed.kind == (FAMILY_IPV4 << 4 | TRANSPORT_STREAM))
		read_addresses(bytes + sizeof(fixed), AF_INET, out);
	else if (fixed.kind == (FAMILY_IPV6 << 4 | TRANSPORT_STREAM))
		read_addresses(bytes + sizeof(fixed), AF_INET6, out);
	return PARSE_DONE;
}

static bool begins(const uint8_t *bytes, size_t size, const void *with, size_t length)
{
	return !memcmp(bytes, with, size < length ? size : length);
}

enum parse_result proxy_header_parse(const uint8_t *bytes, size_t size, struct proxy_header *out)
{
	struct proxy_header header = {0};
	enum parse_result result = PARSE_BAD;

	if (!size)
		return PARSE_MORE;
	if (begins(bytes, size, text_signature, strlen(text_signature)))
		result = parse_text(bytes, size, &header);
	else if (begins(bytes, size, signature, sizeof(signature)))
		result = parse_binary(bytes, size, &header);
	if (result == PARSE_DONE)
		*out = header;
	return result;
}

/* --- Writing ------------------------------------------------------------------------------- */

/* Both addresses as one family writes them. */
struct pair {
	int family; /* AF_UNSPEC: they are not of IP */
	struct in6_addr ips[2];
	uint16_t ports[2]; /* network byte order */
};

static bool is_ip(const struct address *address)
{
	return address->length &&
	       (address->any.sa_family == AF_INET || address->any.sa_family == AF_INET6);
}

static void unify(const struct address *source, const struct address *destination,
		  struct pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	pair->family = AF_UNSPEC;
	if (!is_ip(source) || !is_ip(destination))
		return;
	cidr_address_bytes(source, pair->ips[0].s6_addr);
	cidr_address_bytes(destination, pair->ips[1].s6_addr);
	pair->ports[0] = source->ipv4.sin_port; /* IPv6 has it in the same place */
	pair->ports[1] = destination->ipv4.sin_port;
	pair->family = AF_INET6;
	if (!IN6_IS_ADDR_V4MAPPED(&pair->ips[0]) || !IN6_IS_ADDR_V4MAPPED(&pair->ips[1]))
		return;
	pair->family = AF_INET;
	for (int i = 0; i < 2; i++)
		memcpy(pair->ips[i].s6_addr, pair->ips[i].s6_addr + 12, 4);
}

static size_t write_line(const struct pair *pair, uint8_t *out)
{
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];

	if (pair->family == AF_UNSPEC)
		return (size_t)sprintf((char *)out, "PROXY UNKNOWN\r\n");
	inet_ntop(pair->family, &pair->ips[0], source, sizeof(source));
	inet_ntop(pair->family, &pair->ips[1], destination, sizeof(destination));
	return (size_t)snprintf((char *)out, PROXY_HEADER_WRITTEN_MAX, "PROXY %s %s %s %u %u\r\n",
				pair->family == AF_INET ? "TCP4" : "TCP6", source, destination,
				ntohs(pair->ports[0]), ntohs(pair->ports[1]));
}

static uint8_t *append(uint8_t *at, const void *bytes, size_t size)
{
	memcpy(at, bytes, size);
	return at + size;
}

static size_t write_binary(enum command command, const struct pair *pair, uint8_t *out)
{
	struct fixed fixed = {.command = (uint8_t)command};
	uint8_t *at = out + sizeof(fixed);

	if (pair->family != AF_UNSPEC) {
		fixed.kind = (pair->family == AF_INET ? FAMILY_IPV4 : FAMILY_IPV6) << 4 |
			     TRANSPORT_STREAM;
		at = append(at, &pair->ips[0], ip_size(pair->family));
		at = append(at, &pair->ips[1], ip_size(pair->family));
		at = append(at, pair->ports, sizeof(pair->ports));
	}
	memcpy(fixed.signature, signature, sizeof(signature));
	fixed.length[1] = (uint8_t)(at - out - (ptrdiff_t)sizeof(fixed));
	memcpy(out, &fixed, sizeof(fixed));
	return (size_t)(at - out);
}

size_t proxy_header_write(unsigned int version, const struct address *source,
			  const struct address *destination, uint8_t out[PROXY_HEADER_WRITTEN_MAX])
{
	struct pair pair;

	unify(source, destination, &pair);
	return version == 1 ? write_line(&pair, out) : write_binary(COMMAND_PROXY, &pair, out);
}

size_t proxy_header_write_local(uint8_t out[PROXY_HEADER_WRITTEN_MAX])
{
	const struct pair none = {.family = AF_UNSPEC};

	return write_binary(COMMAND_LOCAL, &none, out);
}
