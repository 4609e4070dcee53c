// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#define _GNU_SOURCE
#include "policy/exchange.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "intake/proxy_header.h"

/* It is nobody's connection but proxyd's own. */
static int add_header(enum proxy_version version, struct evbuffer *out)
{
	const struct address none = {.length = 0};
	uint8_t header[PROXY_HEADER_WRITTEN_MAX];
	size_t size = version == PROXY_V1 ? proxy_header_write(version, &none, &none, header)
					  : proxy_header_write_local(header);

	return evbuffer_add(out, header, size) ? -ENOMEM : 0;
}

static int add_http(const struct config_health *health, const struct address *to,
		    struct evbuffer *out)
{
	char text[ADDRESS_TEXT];
	struct address named = *to;
	const char *host = health->host;

	if (!host) {
		/* A zone means something on this machine only (RFC 6874). */
		if (named.any.sa_family == AF_INET6)
			named.ipv6.sin6_scope_id = 0;
		host = address_format(&named, text);
	}
	return evbuffer_add_printf(out,
				   "GET %s HTTP/1.1\r\n"
				   "Host: %s\r\n"
				   "User-Agent: proxyd/" PROXYD_VERSION "\r\n"
				   "Accept: */*\r\n"
				   "Connection: close\r\n\r\n",
				   health->path ? health->path : "/", host) < 0
		       ? -ENOMEM
		       : 0;
}

int exchange_request(const struct config_health *health, const struct address *to,
		     struct evbuffer *out)
{
	if (health->header != PROXY_NONE && add_header(health->header, out))
		return -ENOMEM;
	if (health->kind == HEALTH_HTTP)
		return add_http(health, to, out);
	if (health->kind == HEALTH_EXPECT && health->send)
		return evbuffer_add(out, health->send, strlen(health->send)) ? -ENOMEM : 0;
	return 0;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static const char http_version[] = "HTTP/1.";

/* Whether the line may yet become a status line. */
static bool begins_as_http(const char *line, size_t length)
{
	size_t known = sizeof(http_version) - 1;

	return !memcmp(line, http_version, length < known ? length : known);
}

/* The status of "HTTP/1.1 200 OK" (RFC 9112, 4; the reason is often missing), or 0. */
static unsigned int http_status(const char *line, size_t length)
{
	const size_t at = sizeof(http_version) + 1; /* the status */

	if (length < at + 3 || !begins_as_http(line, length) || !is_digit(line[at - 2]) ||
	    line[at - 1] != ' ')
		return 0;
	for (size_t i = at; i < at + 3; i++)
		if (!is_digit(line[i]))
			return 0;
	if (length > at + 3 && line[at + 3] != ' ' && line[at + 3] != '\r')
		return 0;
	return (unsigned int)((line[at] - '0') * 100 + (line[at + 1] - '0') * 10 + line[at + 2] -
			      '0');
}

/* Such answers may go before the one that counts (RFC 9110, 15.2); 101 is one that counts. */
static bool is_interim(unsigned int status)
{
	return status >= 100 && status < 200 && status != 101;
}

static bool is_wanted(const struct port_list *statuses, unsigned int status)
{
	if (!statuses->count)
		return status >= 200 && status < 400;
	for (unsigned int i = 0; i < statuses->count; i++)
		if (status >= statuses->items[i].first && status <= statuses->items[i].last)
			return true;
	return false;
}

static enum verdict judge_http(const struct config_health *health, const char *answer,
			       size_t length, char *reason, size_t reason_size)
{
	static const char empty_line[] = "\r\n\r\n";
	const char *line = answer, *end = answer + length, *newline;
	unsigned int status;

	for (;;) {
		size_t left = (size_t)(end - line);

		newline = memchr(line, '\n', left);
		if (!newline && begins_as_http(line, left))
			return VERDICT_OPEN;
		status = newline ? http_status(line, (size_t)(newline - line)) : 0;
		if (!is_interim(status))
			break;
		line = memmem(line, left, empty_line, strlen(empty_line));
		if (!line)
			return VERDICT_OPEN;
		line += strlen(empty_line);
	}
	if (status)
		snprintf(reason, reason_size, "HTTP %u", status);
	else
		snprintf(reason, reason_size, "unexpected answer");
	return status && is_wanted(&health->statuses, status) ? VERDICT_PASSED : VERDICT_FAILED;
}

static enum verdict judge_expect(const struct config_health *health, const char *answer,
				 size_t length, char *reason, size_t reason_size)
{
	if (health->expect && !memmem(answer, length, health->expect, strlen(health->expect)))
		return VERDICT_OPEN;
	snprintf(reason, reason_size, "expected answer");
	return VERDICT_PASSED;
}

enum verdict exchange_judge(const struct config_health *health, const char *answer, size_t length,
			    bool last, char *reason, size_t reason_size)
{
	enum verdict verdict = VERDICT_OPEN;

	if (health->kind == HEALTH_TCP) {
		snprintf(reason, reason_size, "connected");
		return VERDICT_PASSED;
	}
	if (length && health->kind == HEALTH_HTTP)
		verdict = judge_http(health, answer, length, reason, reason_size);
	else if (length)
		verdict = judge_expect(health, answer, length, reason, reason_size);
	if (verdict != VERDICT_OPEN || !last)
		return verdict;
	snprintf(reason, reason_size, length ? "unexpected answer" : "closed without an answer");
	return VERDICT_FAILED;
}
