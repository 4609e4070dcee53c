// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Each allocation of the loader and the printer fails once: they say so, and lose nothing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"
#include "config/print.h"
#include "config/settings.h"
#include "unit/wrap_memory.h"

static const char good[] =
	"access_log: {to: /x, flows: failed}\ncontrol: ${HOME}/$${x}\ndns_servers: [192.0.2.53, "
	"192.0.2.54]\n"
	"listeners:\n"
	"- {name: a, address: 127.0.0.1:1, allow: [10.0.0.0/8, 192.0.2.0/24]}\n"
	"- {address: 127.0.0.1:2, deny: 10.9.0.0/16}\n"
	"upstreams:\n"
	"- name: a\n"
	"  endpoints: [127.0.0.1:3, \"name:4\", {srv: _x._tcp.y}]\n"
	"  tcp: {interface: eth0}\n"
	"  health: {type: http, host: x, status: [200, 300-399]}\n"
	"- {name: b, endpoints: 127.0.0.1:4, health: {type: expect, send: x, expect: y}}\n"
	"routes:\n"
	"- match: {listener: a, source: 10.0.0.0/8, port: [1, 2], sni: [a.org, b.org], alpn: h2}\n"
	"  upstream: a\n"
	"  mirror: b\n"
	"- {match: {host: a.org}, reject: close}\n";

static const char bad[] = "lane: kernal\nlisteners: [127.0.0.1:1, x]\nzzz: 1\n"
			  "routes: {match: {listener: [lisener-1, b]}, upstream: a}\n";

/* Loads until no allocation fails any more. Returns how many there are. */
static unsigned int load_short_of_memory(const char *text, int expected)
{
	for (unsigned int number = 0;; number++) {
		struct config_report report = {0};
		struct config *config = NULL;
		bool failed;
		int err;

		allowed = number;
		err = config_load_text("f", text, strlen(text), &config, &report);
		failed = allowed == -1U;
		allowed = -1U;
		cr_assert_eq(err == 0, config != NULL);
		if (!failed)
			cr_assert_eq(err, expected);
		else
			/* What only helps to say something may be left out. */
			cr_assert(err == -ENOMEM || err == expected, "allocation %u: %d", number,
				  err);
		config_free(config);
		report_clear(&report);
		if (!failed)
			return number;
	}
}

Test(config_memory, a_good_file)
{
	setenv("HOME", "/root", 1);
	cr_expect_gt(load_short_of_memory(good, 0), 40);
}

Test(config_memory, a_bad_file)
{
	cr_expect_gt(load_short_of_memory(bad, -EINVAL), 10);
}

Test(config_memory, options)
{
	char *argv[] = {"run",        "--listen",    "127.0.0.1:1",
			"--upstream", "127.0.0.1:2", "--cgroup=/x"};
	struct settings settings;
	bool failed = true;

	settings_init(&settings);
	cr_assert_eq(settings_parse(&settings, 6, argv), 0);
	for (unsigned int number = 0; failed; number++) {
		struct config *config = NULL;
		int err;

		allowed = number;
		err = config_from_settings(&settings, &config);
		failed = allowed == -1U;
		allowed = -1U;
		cr_assert_eq(err, failed ? -ENOMEM : 0, "allocation %u", number);
		config_free(config);
	}
}
