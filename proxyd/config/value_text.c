// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Texts, and lists of them. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/hostname.h"
#include "config/suggest.h"
#include "config/value.h"
#include "intake/host_name.h"

#define TEXT_MAX 4096
#define NAME_MAX 63
#define ALNUM    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static int fail(const char **why, const char *reason)
{
	*why = reason;
	return -EINVAL;
}

/* ---- One text ----------------------------------------------------------------------------- */

static int check_text(const struct value_scope *scope, const char *text)
{
	const struct schema_key *key = scope->key;
	unsigned long long max = key->max ? key->max : TEXT_MAX;
	const char *why;

	if (!*text)
		return value_fail(scope, "it is empty; give it a value, or leave it out");
	if (strlen(text) > max)
		return value_fail(scope, "it is too long (%llu bytes at most)", max);
	if (key->type->check && key->type->check(text, &why))
		return value_fail(scope, "%s", why);
	return 0;
}

static int read_text(const struct value_scope *scope, const char *text, void *field)
{
	char **string = field;

	if (check_text(scope, text))
		return -EINVAL;
	*string = strdup(text);
	return *string ? 0 : -ENOMEM;
}

static json_t *write_text(const struct value_scope *scope, const void *field)
{
	(void)scope;
	return *(char *const *)field ? json_string(*(char *const *)field) : NULL;
}

static void clear_text(void *field)
{
	char **string = field;

	free(*string);
	*string = NULL;
}

static int check_name(const char *text, const char **why)
{
	if (strlen(text) > NAME_MAX || strspn(text, ALNUM "_.-") != strlen(text) ||
	    !isalnum((unsigned char)*text))
		return fail(why, "it is no name (63 letters, digits, '-', '_' and '.' at most, "
				 "the first a letter or digit)");
	return 0;
}

static int check_log_target(const char *text, const char **why)
{
	if (strcmp(text, "stderr") && strcmp(text, "stdout") && *text != '/')
		return fail(why, "it is none of stderr, stdout, and a path that begins with '/'");
	return 0;
}

/* What Linux takes, dev_valid_name(): no slash, colon or space, not "." or "..". */
static int check_interface(const char *text, const char **why)
{
	if (strpbrk(text, "/: \t\n\r\v\f") || !strcmp(text, ".") || !strcmp(text, ".."))
		return fail(why, "it is no name of an interface, as in eth0");
	return 0;
}

static bool is_visible(const char *text)
{
	for (; *text; text++)
		if (!isgraph((unsigned char)*text))
			return false;
	return true;
}

static int check_url_path(const char *text, const char **why)
{
	if (*text != '/' || !is_visible(text))
		return fail(why,
			    "it is no path of a URL, as in /healthz (other characters as %20)");
	return 0;
}

static int check_authority(const char *text, const char **why)
{
	if (!is_visible(text) || strchr(text, '/'))
		return fail(why, "it is no value of a Host header, as in www.example.org");
	return 0;
}

#define TEXT .read = read_text, .write = write_text, .clear = clear_text

const struct value_type value_name = {
	TEXT,
	.name = "name",
	.pattern = "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
	.check = check_name,
};

const struct value_type value_text = {TEXT, .name = "text"};

const struct value_type value_path = {TEXT, .name = "path"};

const struct value_type value_log_target = {
	TEXT,
	.name = "log target",
	.pattern = "stderr|stdout|/.*",
	.check = check_log_target,
};

const struct value_type value_interface = {
	TEXT,
	.name = "interface",
	.check = check_interface,
};

const struct value_type value_url_path = {
	TEXT,
	.name = "URL path",
	.pattern = "/[!-~]*",
	.check = check_url_path,
};

const struct value_type value_authority = {
	TEXT,
	.name = "host",
	.pattern = "[!-.0-~]+",
	.check = check_authority,
};

/* ---- Lists of texts ----------------------------------------------------------------------- */

static int append_text(struct string_list *list, const char *text)
{
	char **grown = realloc(list->items, (list->count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	list->items = grown;
	grown[list->count] = strdup(text);
	if (!grown[list->count])
		return -ENOMEM;
	list->count++;
	return 0;
}

static int read_texts(const struct value_scope *scope, const char *text, void *field)
{
	return check_text(scope, text) ? -EINVAL : append_text(field, text);
}

/* As host_name.c brings what clients send into one form, so that the two can be compared. */
static int read_host(const struct value_scope *scope, const char *text, void *field)
{
	char name[INSPECT_NAME_MAX + 3];
	size_t skipped = strncmp(text, "*.", 2) ? 0 : 2;

	if (check_text(scope, text))
		return -EINVAL;
	memcpy(name, text, skipped);
	if (!strcmp(text, "*"))
		strcpy(name, text);
	else if (!host_name_of_authority((const uint8_t *)text + skipped, strlen(text) - skipped,
					 name + skipped))
		return value_fail(scope, "it is no host name, as in www.example.org");
	return append_text(field, name);
}

static json_t *write_texts(const struct value_scope *scope, const void *field)
{
	const struct string_list *list = field;
	json_t *array = list->count ? json_array() : NULL;

	(void)scope;
	for (unsigned int i = 0; i < list->count; i++)
		json_array_append_new(array, json_string(list->items[i]));
	return array;
}

static void clear_texts(void *field)
{
	struct string_list *list = field;

	for (unsigned int i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct string_list){0};
}

/* "192.0.2.53", "2001:db8::53", or either with a port. */
static int check_nameserver(const char *text, const char **why)
{
	struct address address;
	struct cidr cidr;
	const char *ignored;

	if (!address_parse(text, &address, &ignored))
		return 0;
	if (!strchr(text, '/') && !cidr_parse(text, &cidr, &ignored))
		return 0;
	return fail(why,
		    "it is no address of a name server, as in 192.0.2.53 or [2001:db8::53]:53");
}

static int check_server_name(const char *text, const char **why)
{
	struct cidr cidr;
	const char *ignored;

	if (strchr(text, ':') || !cidr_parse(text, &cidr, &ignored))
		return fail(why, "SNI is a host name, never an address or a port (RFC 6066, 3)");
	return hostname_check_pattern(text, why);
}

static int check_host(const char *text, const char **why)
{
	char bare[64] = "";
	struct cidr cidr;
	const char *ignored;
	size_t length = strlen(text);

	if (*text == '[' && text[length - 1] == ']' && length - 2 < sizeof(bare)) {
		memcpy(bare, text + 1, length - 2);
		if (strchr(bare, ':') && !strchr(bare, '/') && !cidr_parse(bare, &cidr, &ignored))
			return 0;
		return fail(why, "only an IPv6 address stands in brackets");
	}
	if (strchr(text, ':'))
		return fail(why, "leave out the port; an IPv6 address stands in brackets");
	if (!strchr(text, '/') && !cidr_parse(text, &cidr, &ignored))
		return 0;
	return hostname_check_pattern(text, why);
}

static int check_alpn(const char *text, const char **why)
{
	return strlen(text) <= 255 ? 0 : fail(why, "it is too long for ALPN (255 bytes, RFC 7301)");
}

#define TEXTS .list = true, .write = write_texts, .clear = clear_texts

const struct value_type value_names = {
	TEXTS,
	.name = "name",
	.pattern = "[A-Za-z0-9][A-Za-z0-9_.-]{0,62}",
	.read = read_texts,
	.check = check_name,
};

const struct value_type value_paths = {TEXTS, .name = "path", .read = read_texts};

const struct value_type value_nameservers = {
	TEXTS,
	.name = "IP address",
	.read = read_texts,
	.check = check_nameserver,
};

const struct value_type value_server_names = {
	TEXTS,
	.name = "host name",
	.pattern = "[*]|([*][.])?" HOSTNAME_PATTERN "[.]?",
	.read = read_host,
	.check = check_server_name,
};

const struct value_type value_hosts = {
	TEXTS,
	.name = "host",
	.pattern = "[*]|([*][.])?" HOSTNAME_PATTERN "[.]?|\\[[0-9A-Fa-f:.]+\\]",
	.read = read_host,
	.check = check_host,
};

const struct value_type value_alpns = {
	TEXTS,
	.name = "text",
	.read = read_texts,
	.check = check_alpn,
};
