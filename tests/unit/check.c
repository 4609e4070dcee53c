// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What checks say to servers that behave in all kinds of ways, and what they make of it. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "ward.h"

/* The first result in a mode, with the usual checks. */
static void expect_first(const char *mode, bool up, const char *reason)
{
	struct ward ward;

	ward_open(&ward);
	program_tell(&ward.backend, "mode %s", mode);
	ward_start(&ward);
	ward_expect(&ward, 1, up, reason);
	ward_close(&ward);
}

Test(check, http_answers)
{
	expect_first("ok", true, "HTTP 200");
}

Test(check, http_byte_by_byte)
{
	expect_first("bytes", true, "HTTP 200");
}

Test(check, http_interim_answers)
{
	expect_first("interim", true, "HTTP 200");
}

Test(check, http_server_that_does_not_close)
{
	expect_first("open", true, "HTTP 200");
}

Test(check, http_redirect_is_not_among_the_statuses)
{
	expect_first("301", false, "HTTP 301");
}

Test(check, http_closed_early)
{
	expect_first("close", false, "closed without an answer");
}

Test(check, http_half_an_answer)
{
	expect_first("half", false, "unexpected answer");
}

Test(check, http_garbage)
{
	expect_first("garbage", false, "unexpected answer");
}

Test(check, http_reset)
{
	expect_first("reset", false, "reset");
}

Test(check, http_endless_answer)
{
	expect_first("endless", true, "HTTP 200");
}

Test(check, http_timeout)
{
	struct ward ward;
	uint64_t began;

	ward_open(&ward);
	ward.config.health.timeout = 300;
	program_tell(&ward.backend, "mode hang");
	ward_start(&ward);
	began = clock_ms();
	ward_expect(&ward, 1, false, "timeout");
	cr_expect(clock_ms() - began >= 290, "after %lu ms", clock_ms() - began);
	ward_close(&ward);
}

/* What is said to a server, to the byte. */
Test(check, http_request)
{
	static const char expected[] = "GET /healthz HTTP/1.1\r\n"
				       "Host: shop.example.org\r\n"
				       "User-Agent: proxyd/" PROXYD_VERSION "\r\n"
				       "Accept: */*\r\n"
				       "Connection: close\r\n\r\n";
	char hex[2 * sizeof(expected)] = "";
	struct ward ward;

	for (size_t i = 0; i < sizeof(expected) - 1; i++)
		sprintf(hex + 2 * i, "%02x", (unsigned char)expected[i]);
	ward_open(&ward);
	ward.config.health.host = "shop.example.org";
	ward_start(&ward);
	ward_wait(&ward, 1);
	cr_expect_str_eq(program_ask(&ward.backend, "said"), hex);
	ward_close(&ward);
}

/* The header comes first, and what follows is the request. */
Test(check, proxy_header)
{
	struct ward ward;
	const char *said;

	ward_open(&ward);
	ward.config.health.header = PROXY_V2;
	ward_start(&ward);
	ward_wait(&ward, 1);
	said = program_ask(&ward.backend, "said");
	cr_expect(!strncmp(said,
			   "0d0a0d0a000d0a515549540a20000000"
			   "474554202f",
			   42),
		  "%s", said);
	ward_close(&ward);
}

/* A server is not cut short, so that its log stays free of our checks. */
Test(check, an_answer_is_read_to_its_end)
{
	struct ward ward;
	bool whole = false;

	ward_open(&ward);
	program_tell(&ward.backend, "mode page");
	ward_start(&ward);
	ward_expect(&ward, 1, true, "HTTP 200");
	/* One that takes 100 ms to go on is cut short: not all of them are, again and again. */
	for (unsigned int i = 0; i < 40 && !whole; i++) {
		long errors = program_count(&ward.backend, "errors");

		program_count(&ward.backend, "count");
		ward_run(&ward, 500);
		whole = program_count(&ward.backend, "count") > 3 &&
			program_count(&ward.backend, "errors") == errors;
	}
	cr_expect(whole, "%ld errors", program_count(&ward.backend, "errors"));
	ward_close(&ward);
}

static void use_expect(struct ward *ward, char *send, char *expect)
{
	ward->config.health.kind = HEALTH_EXPECT;
	ward->config.health.send = send;
	ward->config.health.expect = expect;
}

static void expect_exchange(char *send, char *expect, const char *mode, bool up, const char *reason)
{
	struct ward ward;

	ward_open(&ward);
	use_expect(&ward, send, expect);
	if (!strcmp(reason, "timeout"))
		ward.config.health.timeout = 500;
	program_tell(&ward.backend, "mode %s", mode);
	ward_start(&ward);
	ward_expect(&ward, 1, up, reason);
	ward_close(&ward);
}

Test(check, expect_in_pieces)
{
	expect_exchange("PING\r\n", "+PONG\r\n", "pong", true, "expected answer");
}

Test(check, expect_a_banner_and_say_nothing)
{
	expect_exchange(NULL, "SSH-2.0", "banner", true, "expected answer");
}

Test(check, expect_something_else)
{
	expect_exchange("PING\r\n", "-LOADING", "pong", false, "timeout");
}

Test(check, expect_closed)
{
	expect_exchange("PING\r\n", "+PONG", "ok", false, "unexpected answer");
}

/* Not read for ever: 16 KiB without it are enough. */
Test(check, expect_babble)
{
	expect_exchange("PING\r\n", "+PONG", "babble", false, "unexpected answer");
}

static void use_tcp(struct ward *ward)
{
	ward->config.health.kind = HEALTH_TCP;
}

/* The application never sees such a check: no accept() returns. */
Test(check, tcp_wakes_nobody)
{
	struct ward ward;
	long woken = 1;

	ward_open(&ward);
	use_tcp(&ward);
	ward_start(&ward);
	ward_expect(&ward, 1, true, "connected");
	/* Where this process is held up for 200 ms the kernel does complete a handshake. */
	for (unsigned int i = 0; i < 20 && woken; i++) {
		ward_run(&ward, 500);
		woken = program_count(&ward.backend, "count");
	}
	cr_expect_eq(woken, 0, "%ld at the last look", woken);
	program_tell(&ward.backend, "refuse");
	ward_expect(&ward, 2, false, "connect refused");
	program_tell(&ward.backend, "listen");
	ward_expect(&ward, 3, true, "connected");
	ward_close(&ward);
}

/* What the server has read, when it has. */
static const char *await_said(struct ward *ward)
{
	const char *said = program_ask(&ward->backend, "said");

	for (unsigned int i = 0; i < 200 && !*said; i++) {
		ward_run(ward, 50);
		said = program_ask(&ward->backend, "said");
	}
	return said;
}

/* With a header there is something to read, and then the end: no reset that overtakes it. */
Test(check, tcp_with_proxy_header)
{
	struct ward ward;

	ward_open(&ward);
	use_tcp(&ward);
	ward.config.health.header = PROXY_V2;
	ward_start(&ward);
	ward_expect(&ward, 1, true, "connected");
	cr_expect_str_eq(await_said(&ward), "0d0a0d0a000d0a515549540a20000000");
	cr_expect_eq(program_count(&ward.backend, "errors"), 0);
	ward_close(&ward);
}

/* Version 1 has no LOCAL. */
Test(check, tcp_with_proxy_header_of_version_1)
{
	struct ward ward;

	ward_open(&ward);
	use_tcp(&ward);
	ward.config.health.header = PROXY_V1;
	ward_start(&ward);
	ward_expect(&ward, 1, true, "connected");
	cr_expect_str_eq(await_said(&ward), "50524f585920554e4b4e4f574e0d0a");
	ward_close(&ward);
}

/* A server that hangs takes no more connections once its queue is full. */
Test(check, tcp_full_accept_queue)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	struct ward ward;

	cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
	cr_assert_eq(listen(listener, 0), 0);
	cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	for (unsigned int i = 0; i < 4; i++)
		connect(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
			(struct sockaddr *)&address, size);
	usleep(100 * 1000);
	ward_open(&ward);
	use_tcp(&ward);
	ward.config.health.timeout = 500;
	ward.config.health.port = ntohs(address.sin_port);
	ward_start(&ward);
	ward_expect(&ward, 1, false, "connect timeout");
	ward_close(&ward);
}

Test(check, port_of_its_own)
{
	struct ward ward;

	ward_open(&ward);
	ward.config.health.port = (uint16_t)ward.backend.port;
	ward.config.endpoint_count = 0;
	ward_add_endpoint(&ward, "127.0.0.1", 1);
	ward_start(&ward);
	ward_expect(&ward, 1, true, "HTTP 200");
	cr_expect_str_eq(turns[0].endpoint, "127.0.0.1:1");
	ward_close(&ward);
}

/* As flows of the upstream do. */
Test(check, source_address)
{
	struct ward ward;

	ward_open(&ward);
	ward.config.tcp.source.address = address_of("127.0.0.77:1");
	ward.config.tcp.source.address.ipv4.sin_port = 0;
	ward_start(&ward);
	ward_expect(&ward, 1, true, "HTTP 200");
	cr_expect_str_eq(program_ask(&ward.backend, "peer"), "127.0.0.77");
	ward_close(&ward);
}
