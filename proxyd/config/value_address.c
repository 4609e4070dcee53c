// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Addresses, ranges of addresses and ports, endpoints. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/hostname.h"
#include "config/value.h"

#define IPV4 "[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+"
#define IPV6 "[0-9A-Fa-f:.]+(%[^\\]]+)?"

/* ---- Addresses ---------------------------------------------------------------------------- */

static int read_address(const struct value_scope *scope, const char *text, void *field)
{
	const char *why;

	return address_parse(text, field, &why) ? value_fail(scope, "%s", why) : 0;
}

static json_t *write_address(const struct value_scope *scope, const void *field)
{
	const struct address *address = field;
	char text[ADDRESS_TEXT];

	(void)scope;
	return address->length ? json_string(address_format(address, text)) : NULL;
}

const struct value_type value_address = {
	.name = "address",
	.pattern = "(" IPV4 "|\\[" IPV6 "\\]):[0-9]+",
	.read = read_address,
	.write = write_address,
};

static const struct schema_choice clients[] = {
	{"clientip", SOURCE_CLIENT_IP, ""},
	{"client", SOURCE_CLIENT, ""},
	{0},
};

static int read_source(const struct value_scope *scope, const char *text, void *field)
{
	struct config_source *source = field;
	struct address *address = &source->address;
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};

	for (const struct schema_choice *choice = clients; choice->name; choice++) {
		if (strcmp(choice->name, text) != 0)
			continue;
		source->kind = (enum source_kind)choice->value;
		return 0;
	}
	if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1) {
		address->ipv4 = ipv4;
		address->length = sizeof(ipv4);
	} else if (inet_pton(AF_INET6, text, &ipv6.sin6_addr) == 1) {
		address->ipv6 = ipv6;
		address->length = sizeof(ipv6);
	} else {
		return value_fail(scope, "it is no IP address, as in 192.0.2.1 (without a port), "
					 "nor `clientip` or `client`");
	}
	return 0;
}

static json_t *write_source(const struct value_scope *scope, const void *field)
{
	const struct config_source *source = field;
	const struct address *address = &source->address;
	char text[INET6_ADDRSTRLEN];
	const void *ip = &address->ipv4.sin_addr;

	(void)scope;
	if (source->kind != SOURCE_OWN)
		return json_string(value_choice_name(clients, (int)source->kind));
	if (address->any.sa_family == AF_INET6)
		ip = &address->ipv6.sin6_addr;
	if (!address->length)
		return NULL;
	inet_ntop(address->any.sa_family, ip, text, sizeof(text));
	return json_string(text);
}

const struct value_type value_source = {
	.name = "IP address, `clientip` or `client`",
	.pattern = IPV4 "|[0-9A-Fa-f:.]+|clientip|client",
	.read = read_source,
	.write = write_source,
};

/* ---- Ranges ------------------------------------------------------------------------------- */

static int read_cidrs(const struct value_scope *scope, const char *text, void *field)
{
	struct cidr_list *list = field;
	struct cidr cidr, *grown;
	const char *why;

	if (cidr_parse(text, &cidr, &why))
		return value_fail(scope, "%s", why);
	grown = realloc(list->items, (list->count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->items = grown;
	grown[list->count++] = cidr;
	return 0;
}

static json_t *write_cidrs(const struct value_scope *scope, const void *field)
{
	const struct cidr_list *list = field;
	json_t *array = list->count ? json_array() : NULL;
	char text[CIDR_TEXT];

	(void)scope;
	for (unsigned int i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(cidr_format(&list->items[i], text)));
	return array;
}

static void clear_cidrs(void *field)
{
	struct cidr_list *list = field;

	free(list->items);
	*list = (struct cidr_list){0};
}

const struct value_type value_cidrs = {
	.name = "address range",
	.pattern = "[0-9A-Fa-f:.]+(/[0-9]+)?",
	.list = true,
	.read = read_cidrs,
	.write = write_cidrs,
	.clear = clear_cidrs,
};

/* "443" or "8000-8010". */
static int parse_range(const char *text, uint64_t *first, uint64_t *last)
{
	char copy[UNITS_TEXT];
	const char *ignored;
	char *dash;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	dash = strchr(copy, '-');
	if (dash)
		*dash = '\0';
	if (units_parse_count(copy, first, &ignored))
		return -EINVAL;
	return units_parse_count(dash ? dash + 1 : copy, last, &ignored);
}

static int read_ranges(const struct value_scope *scope, const char *text, void *field)
{
	const struct schema_key *key = scope->key;
	struct port_list *list = field;
	struct port_range *grown;
	uint64_t first, last;

	if (parse_range(text, &first, &last))
		return value_fail(scope, "it is no number or range, as in %s", key->example);
	if (first < key->min || last < key->min || first > key->max || last > key->max)
		return value_fail(scope, "it must be within %llu to %llu",
				  (unsigned long long)key->min, (unsigned long long)key->max);
	if (first > last)
		return value_fail(scope, "the range ends before it begins; swap its ends");
	grown = realloc(list->items, (list->count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->items = grown;
	grown[list->count++] = (struct port_range){(uint32_t)first, (uint32_t)last};
	return 0;
}

static json_t *write_ranges(const struct value_scope *scope, const void *field)
{
	const struct port_list *list = field;
	json_t *array = list->count ? json_array() : NULL;

	(void)scope;
	for (unsigned int i = 0; i < list->count; i++) {
		const struct port_range *range = &list->items[i];

		json_array_append_new(array,
				      range->first == range->last
					      ? json_integer(range->first)
					      : json_sprintf("%u-%u", range->first, range->last));
	}
	return array;
}

static void clear_ranges(void *field)
{
	struct port_list *list = field;

	free(list->items);
	*list = (struct port_list){0};
}

const struct value_type value_ranges = {
	.name = "range",
	.pattern = "[0-9]+(-[0-9]+)?",
	.integer = true,
	.list = true,
	.read = read_ranges,
	.write = write_ranges,
	.clear = clear_ranges,
};

/* ---- Endpoints ---------------------------------------------------------------------------- */

static void clear_endpoint(void *field)
{
	struct config_endpoint *endpoint = field;

	free(endpoint->text);
	free(endpoint->host);
	endpoint->text = endpoint->host = NULL;
}

static int name_endpoint(struct config_endpoint *endpoint, const char *text, const char *host)
{
	clear_endpoint(endpoint);
	endpoint->text = strdup(text);
	endpoint->host = host ? strdup(host) : NULL;
	return endpoint->text && (!host || endpoint->host) ? 0 : -ENOMEM;
}

/* Nothing but digits and dots, or brackets: meant as an address, and judged as one. */
static bool looks_like_address(const char *text)
{
	return *text == '[' || strchr(text, ':') == text + strspn(text, "0123456789.");
}

static int read_endpoint(const struct value_scope *scope, const char *text, void *field)
{
	struct config_endpoint *endpoint = field;
	char host[HOSTNAME_MAX + 2];
	const char *why;

	if (looks_like_address(text)) {
		if (address_parse(text, &endpoint->address, &why))
			return value_fail(scope, "%s", why);
		endpoint->kind = ENDPOINT_ADDRESS;
		return name_endpoint(endpoint, text, NULL);
	}
	if (hostname_parse_port(text, host, &endpoint->port, &why))
		return value_fail(scope, "%s", why);
	endpoint->kind = ENDPOINT_NAME;
	return name_endpoint(endpoint, text, host);
}

static json_t *write_endpoint(const struct value_scope *scope, const void *field)
{
	const struct config_endpoint *endpoint = field;

	(void)scope;
	return endpoint->kind == ENDPOINT_SRV ? NULL : json_string(endpoint->text);
}

const struct value_type value_endpoint = {
	.name = "endpoint",
	.pattern = "(\\[" IPV6 "\\]|[A-Za-z0-9_.-]+):[0-9]+",
	.read = read_endpoint,
	.write = write_endpoint,
	.clear = clear_endpoint,
};

static int read_service(const struct value_scope *scope, const char *text, void *field)
{
	struct config_endpoint *endpoint = field;
	const char *why;

	if (strchr(text, ':'))
		return value_fail(scope, "leave out the port: an SRV record has its own");
	if (hostname_check(text, &why))
		return value_fail(scope, "%s", why);
	endpoint->kind = ENDPOINT_SRV;
	return name_endpoint(endpoint, text, text);
}

static json_t *write_service(const struct value_scope *scope, const void *field)
{
	const struct config_endpoint *endpoint = field;

	(void)scope;
	return endpoint->kind == ENDPOINT_SRV ? json_string(endpoint->text) : NULL;
}

const struct value_type value_service = {
	.name = "SRV name",
	.pattern = HOSTNAME_PATTERN "[.]?",
	.read = read_service,
	.write = write_service,
	.clear = clear_endpoint,
};
