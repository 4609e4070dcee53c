// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Every kind of mistake in a configuration file, with the very lines that are said of it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/document.h"
#include "config/load.h"
#include "config/source.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define LISTENER     "listeners: 127.0.0.1:1\n"
#define CLOSE        "routes: {reject: close}\n"
#define REST         LISTENER CLOSE
#define POOL         "upstreams: {name: a, endpoints: 127.0.0.1:2}\n"
#define ROUTES       LISTENER POOL "routes:\n"
#define LISTENER_OF  "listeners:\n- address: 127.0.0.1:1\n"
#define POOL_OF      LISTENER "routes: {upstream: a}\nupstreams:\n- name: a\n"

struct wrong {
	const char *text;
	const char *says; /* all lines of the report */
};

/* What is said of a file of `size` bytes, in a buffer of `room` bytes. Returns as the loader. */
static int load(const char *text, size_t size, char *said, size_t room)
{
	/* Of its very size, so that a sanitizer sees a read beyond its end. */
	char *copy = malloc(size ? size : 1);
	struct config_report report = {0};
	struct config *config = NULL;
	int err;

	cr_assert_not_null(copy);
	memcpy(copy, text, size);
	err = config_load_text("f", copy, size, &config, &report);
	cr_assert_eq(err != 0, config == NULL);
	cr_assert_eq(err == -EINVAL, report.errors > 0);
	*said = '\0';
	for (unsigned int i = 0; i < report.count; i++) {
		size_t used = strlen(said);

		report_format(&report, &report.messages[i], said + used, room - used);
		strncat(said, "\n", room - strlen(said) - 1);
	}
	report_clear(&report);
	config_free(config);
	free(copy);
	return err;
}

static void expect(const struct wrong *cases, size_t count)
{
	static char said[16384];

	for (size_t i = 0; i < count; i++) {
		load(cases[i].text, strlen(cases[i].text), said, sizeof(said));
		cr_expect_str_eq(said, cases[i].says, "of\n%sit says\n%snot\n%s", cases[i].text,
				 said, cases[i].says);
	}
}

/* That one line is said of it, which ends with `says`. */
static void expect_one(const char *text, size_t size, const char *says)
{
	static char said[16384];

	cr_expect_eq(load(text, size, said, sizeof(said)), -EINVAL, "of %s", says);
	cr_expect_str_eq(said, says);
}

Test(config_errors, files)
{
	static const struct wrong cases[] = {
		{"", "f:1:1: it is empty; it needs listeners and routes\n"},
		{"# nothing\n", "f:1:1: it is empty; it needs listeners and routes\n"},
		{"---\n"
		 "...\n",
		 "f:1:1: it is empty; it needs listeners and routes\n"},
		{"a\n",
		 "f:1:1: a single value stands here; a mapping is wanted, as in listeners: ...\n"},
		{"- a\n", "f:1:1: a list stands here; a mapping is wanted, as in listeners: ...\n"},
		{"~\n", "f:1:1: it is empty; it needs listeners and routes\n"},
		{LISTENER, "f:1:1: 'routes' is missing; add it, as in routes: {upstream: web}\n"},
		{"frobnicate: 1\n" REST,
		 "f:1:1: frobnicate: there is no such key; the keys of the file are workers, lane, "
		 "window, control, cgroup, direct_lane, direct_programs, pin, drain_timeout, "
		 "dns_servers, listeners, upstreams, "
		 "routes, original_destination, acceleration\n"},
		{LISTENER CLOSE "---\n" LISTENER,
		 "f:3:1: a second document begins; one is all a file may have\n"},
		{LISTENER CLOSE "lane: !relay relay\n",
		 "f:3:7: tags (!...) mean nothing here; leave it out, or put the text in quotes\n"},
		{"? [a, b]\n"
		 ": c\n" REST,
		 "f:1:3: a list stands here as a key; a key is a word\n"},
	};

	expect(cases, COUNT(cases));
}

Test(config_errors, syntax)
{
	static const struct wrong cases[] = {
		{"listeners:\n"
		 "	- 127.0.0.1:1\n",
		 "f:2:1: found character that cannot start any token; indent with spaces, not with "
		 "tabs\n"},
		{"a: b: c\n", "f:1:5: mapping values are not allowed in this context; check the "
			      "indentation, and put a text that holds ': ' in quotes\n"},
		{"a: b\n"
		 " c: d\n",
		 "f:2:3: mapping values are not allowed in this context; check the indentation, "
		 "and put a text that holds ': ' in quotes\n"},
		{"a:\n"
		 "  b: c\n"
		 " d: e\n",
		 "f:3:2: did not find expected key, while parsing a block mapping that begins at "
		 "1:1; check the indentation\n"},
		{"a\n"
		 "b: c\n",
		 "f:2:2: mapping values are not allowed in this context; check the indentation, "
		 "and put a text that holds ': ' in quotes\n"},
		{"a: [1, 2\n"
		 "b: c\n",
		 "f:2:2: did not find expected ',' or ']', while parsing a flow sequence that "
		 "begins at 1:4; close the bracket; within it, ${...} stands in quotes\n"},
		{"a: {b: ${C}}\n", "f:1:9: did not find expected ',' or '}'; close the bracket; "
				   "within it, ${...} stands in quotes\n"},
		{"a: 'x\n"
		 "b: c\n",
		 "f:1:4: found unexpected end of stream; close the quotes\n"},
		{"a: @x\n", "f:1:4: found character that cannot start any token; put a text that "
			    "starts with this character in quotes\n"},
		{"a: *.example.org\n",
		 "f:1:5: did not find expected alphabetic or numeric character; a text that starts "
		 "with '*' or '&' stands in quotes\n"},
		{"a: *nowhere\n", "f:1:4: found undefined alias; an anchor (&NAME) must come "
				  "before its alias (*NAME)\n"},
		{"a: &b 1\n"
		 "c: &b 2\n",
		 "f:2:4: the anchor is there twice, first at 1:4; give each a name of its own\n"},
		{"a: \"\\q\"\n", "f:1:5: found unknown escape character; write \\\\ for a "
				 "backslash, or use single quotes\n"},
		{"a: [\n"
		 "- b\n"
		 "]\n",
		 "f:2:1: did not find expected node content; see the YAML around it\n"},
		{"%FOO\n"
		 "a: b\n",
		 "f:1:5: found unknown directive name; see the YAML around it\n"},
		{"- a\n"
		 "b: c\n",
		 "f:2:1: did not find expected '-' indicator, while parsing a block collection "
		 "that begins at 1:1; check the indentation\n"},
	};

	expect(cases, COUNT(cases));
}

Test(config_errors, keys)
{
	static const struct wrong cases[] = {
		{"lan: auto\n" REST, "f:1:1: lan: there is no such key; did you mean 'lane'?\n"},
		{"Listeners: 127.0.0.1:1\n" CLOSE,
		 "f:1:1: Listeners: there is no such key; did you mean 'listeners'?\n"},
		{"drain-timeout: 1s\n" REST,
		 "f:1:1: drain-timeout: there is no such key; did you mean 'drain_timeout'?\n"},
		{"lane: auto\n"
		 "lane: auto\n" REST,
		 "f:2:1: lane: the key is there twice; leave one of them out\n"},
		{"listeners:\n"
		 "- adress: 127.0.0.1:1\n" CLOSE,
		 "f:2:3: listeners[0].adress: there is no such key; did you mean 'address'?\n"},
		{LISTENER_OF "  max_flows: 3\n" CLOSE,
		 "f:3:3: listeners[0].max_flows: there is no such key; did you mean "
		 "'limits.max_flows'?\n"},
		{LISTENER_OF "  limits: {max_flow: 3}\n" CLOSE,
		 "f:3:12: listeners[0].limits.max_flow: there is no such key; did you mean "
		 "'max_flows'?\n"},
		{LISTENER_OF "  limits:\n"
			     "    max_flows: 3\n"
			     "    max_flows: 4\n" CLOSE,
		 "f:5:5: listeners[0].limits.max_flows: the key is there twice; leave one of them "
		 "out\n"},
		{LISTENER "upstreams:\n"
			  "- name: a\n"
			  "  endpionts: 127.0.0.1:2\n"
			  "routes: {upstream: a}\n",
		 "f:4:3: upstreams[0].endpionts: there is no such key; did you mean "
		 "'endpoints'?\n"},
		{"zzzzzzzzz: 1\n" REST,
		 "f:1:1: zzzzzzzzz: there is no such key; the keys of the file are workers, lane, "
		 "window, control, cgroup, direct_lane, direct_programs, pin, drain_timeout, "
		 "dns_servers, listeners, upstreams, "
		 "routes, original_destination, acceleration\n"},
		{"<<: {lan: auto}\n" REST,
		 "f:1:6: lan: there is no such key; did you mean 'lane'?\n"},
		{"<<: 3\n" REST,
		 "f:1:5: only a mapping or a list of them can be merged (<<); leave it out\n"},
		{"<<: [3]\n" REST,
		 "f:1:6: only a mapping or a list of them can be merged (<<); leave it out\n"},
		{"x-a: &a {<<: *a}\n" LISTENER "routes: {<<: *a, reject: close}\n",
		 "f:1:6: routes[0]: there are merges (<<) in merges, more than 8 deep\n"},
		{"\"a\\tb\\x01\": 1\n" REST,
		 "f:1:1: a?b?: there is no such key; the keys of the file are workers, lane, "
		 "window, control, cgroup, direct_lane, direct_programs, pin, drain_timeout, "
		 "dns_servers, listeners, upstreams, "
		 "routes, original_destination, acceleration\n"},
		{"é: 1\n" LISTENER "window: big\n" CLOSE,
		 "f:1:1: é: there is no such key; the keys of the file are workers, lane, window, "
		 "control, cgroup, direct_lane, direct_programs, pin, drain_timeout, dns_servers, "
		 "listeners, upstreams, routes, "
		 "original_destination, acceleration\n"
		 "f:3:9: window: it is no size, as in 4MiB or 65536\n"},
	};

	expect(cases, COUNT(cases));
}

Test(config_errors, kinds)
{
	static const struct wrong cases[] = {
		{"lane: [auto]\n" REST,
		 "f:1:7: lane: a list stands here; a single value is wanted (choice)\n"},
		{"lane: {a: b}\n" REST,
		 "f:1:7: lane: a mapping stands here; a single value is wanted (choice)\n"},
		{"lane:\n" REST,
		 "f:1:6: lane: it has no value; give it one, or leave the key out\n"},
		{"lane: ~\n" REST,
		 "f:1:7: lane: it has no value; give it one, or leave the key out\n"},
		{"lane: \"\"\n" REST,
		 "f:1:7: lane: there is no ''; there is auto, kernel and relay\n"},
		{"listeners:\n" CLOSE,
		 "f:1:11: listeners: it has no value; give it one, or leave the key out\n"},
		{"listeners: []\n" CLOSE,
		 "f:1:12: listeners: it is empty; one at least is needed\n"},
		{"listeners: {}\n" CLOSE, "f:1:12: listeners[0]: 'address' is missing; add it, as "
					  "in address: 0.0.0.0:443\n"},
		{"listeners: [[]]\n" CLOSE, "f:1:13: listeners[0]: a list stands here; a mapping "
					    "is wanted, as in address: ...\n"},
		{LISTENER_OF "  limits: 3\n" CLOSE,
		 "f:3:11: listeners[0].limits: a single value stands here; a mapping is wanted, as "
		 "in max_flows: ...\n"},
		{LISTENER_OF "  limits: []\n" CLOSE,
		 "f:3:11: listeners[0].limits: a list stands here; a mapping is wanted, as in "
		 "max_flows: ...\n"},
		{LISTENER_OF "  limits:\n" CLOSE, "f:3:10: listeners[0].limits: it has no value; "
						  "give it one, or leave the key out\n"},
		{LISTENER_OF "  allow: {a: b}\n" CLOSE,
		 "f:3:10: listeners[0].allow: a mapping stands here; a single value is wanted "
		 "(address range)\n"},
		{LISTENER_OF "  allow: [[10.0.0.0/8]]\n" CLOSE,
		 "f:3:11: listeners[0].allow[0]: a list stands here; a single value is wanted "
		 "(address range)\n"},
		{"control: \"a\\0b\"\n" REST,
		 "f:1:10: control: it holds a NUL character; leave it out\n"},
		{LISTENER "routes: []\n", "f:2:9: routes: it is empty; one at least is needed\n"},
		{LISTENER "routes: close\n", "f:2:9: routes[0]: a single value stands here; a "
					     "mapping is wanted, as in name: ...\n"},
	};

	expect(cases, COUNT(cases));
}

Test(config_errors, numbers)
{
	static const struct wrong cases[] = {
		{"workers: 0\n" REST, "f:1:10: workers: it must be 1 to 64\n"},
		{"workers: 65\n" REST, "f:1:10: workers: it must be 1 to 64\n"},
		{"workers: two\n" REST, "f:1:10: workers: it is no number, as in 128\n"},
		{"workers: -1\n" REST, "f:1:10: workers: it is no number, as in 128\n"},
		{"workers: 1.5\n" REST, "f:1:10: workers: it is no number, as in 128\n"},
		{"workers: 99999999999999999999\n" REST, "f:1:10: workers: it is too large\n"},
		{"window: 1KiB\n" REST, "f:1:9: window: it must be 64KiB to 1GiB\n"},
		{"window: 4mb\n" REST, "f:1:9: window: it is no size, as in 4MiB or 65536\n"},
		{"drain_timeout: 10\n" REST,
		 "f:1:16: drain_timeout: it is no time, as in 500ms, 10s, 5m or 1h\n"},
		{"drain_timeout: never\n" REST,
		 "f:1:16: drain_timeout: it is no time, as in 500ms, 10s, 5m or 1h\n"},
		{"drain_timeout: 1000001h\n" REST,
		 "f:1:16: drain_timeout: it must be at most 1000000h\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  retries: {budget: 20}\n",
		 "f:6:21: upstreams[0].retries.budget: it is no percentage, as in 20%\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  retries: {budget: 101%}\n",
		 "f:6:21: upstreams[0].retries.budget: it must be at most 100%\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  retries: 9\n",
		 "f:6:12: upstreams[0].retries: it must be at most 8\n"},
		{LISTENER_OF "  limits: {rate_per_source: 5/m}\n" CLOSE,
		 "f:3:29: listeners[0].limits.rate_per_source: it is no rate, as in 50/s\n"},
		{LISTENER_OF "  limits: {bandwidth: fast}\n" CLOSE,
		 "f:3:23: listeners[0].limits.bandwidth: it is no bandwidth, as in 10MiB/s or "
		 "100Mbit/s\n"},
		{LISTENER_OF "  limits: {queue_timeout: 0}\n" CLOSE,
		 "f:3:27: listeners[0].limits.queue_timeout: it must be 1ms to 1h\n"},
		{LISTENER_OF "  inspect: {timeout: 0}\n" CLOSE,
		 "f:3:22: listeners[0].inspect.timeout: it must be 1ms to 1h\n"},
		{LISTENER_OF "  inspect: {size: 1MiB}\n" CLOSE,
		 "f:3:19: listeners[0].inspect.size: it must be 1KiB to 64KiB\n"},
		{LISTENER_OF "  tcp: {keepalive: 1500ms}\n" CLOSE,
		 "f:3:20: listeners[0].tcp.keepalive: it must be a multiple of 1s\n"},
		{LISTENER_OF "  tcp: {keepalive: {interval: 1s}}\n" CLOSE,
		 "f:3:20: listeners[0].tcp.keepalive: 'idle' is missing; add it, as in idle: "
		 "60s\n"},
		{LISTENER_OF "  tcp: {mark: 0xg}\n" CLOSE,
		 "f:3:15: listeners[0].tcp.mark: it is no number, as in 7 or 0x1f\n"},
		{LISTENER_OF "  tcp: {mark: 4294967296}\n" CLOSE,
		 "f:3:15: listeners[0].tcp.mark: it must be at most 4294967295\n"},
		{LISTENER_OF "  tcp: {nodelay: yes}\n" CLOSE,
		 "f:3:18: listeners[0].tcp.nodelay: it is neither true nor false; write one of "
		 "them\n"},
		{LISTENER_OF "  tcp: {source: 127.0.0.1}\n" CLOSE,
		 "f:3:9: listeners[0].tcp.source: there is no such key; the keys of tcp are "
		 "keepalive, user_timeout, nodelay, send_buffer, receive_buffer, mark\n"},
		{POOL_OF "  endpoints: {address: 127.0.0.1:2, weight: 257}\n",
		 "f:5:45: upstreams[0].endpoints[0].weight: it must be at most 256\n"},
	};

	expect(cases, COUNT(cases));
}

Test(config_errors, choices)
{
	static const struct wrong cases[] = {
		{"lane: kernal\n" REST,
		 "f:1:7: lane: there is no 'kernal'; did you mean 'kernel'?\n"},
		{"lane: fast\n" REST,
		 "f:1:7: lane: there is no 'fast'; there is auto, kernel and relay\n"},
		{LISTENER "routes: {reject: drop}\n",
		 "f:2:18: routes[0].reject: there is no 'drop'; there is reset and close\n"},
		{LISTENER "routes: {original_destination: false}\n",
		 "f:2:32: routes[0].original_destination: it can only be true; leave the key out "
		 "otherwise\n"},
		{ROUTES "- {upstream: b}\n",
		 "f:4:14: routes[0].upstream: no upstream is called 'b'; there is only 'a'\n"},
		{ROUTES "- {upstream: a, mirror: aa}\n",
		 "f:4:25: routes[0].mirror: no upstream is called 'aa'; there is only 'a'\n"},
		{LISTENER "routes: {upstream: a}\n",
		 "f:2:20: routes[0].upstream: no upstream is called 'a'\n"},
		{ROUTES "- {match: {listener: listener1}, upstream: a}\n",
		 "f:4:22: routes[0].match.listener[0]: no listener is called 'listener1'; did you "
		 "mean 'listener-1'?\n"},
		{ROUTES "- {match: {protocol: [tls, sssh]}, upstream: a}\n",
		 "f:4:28: routes[0].match.protocol[1]: there is no 'sssh'; did you mean 'ssh'?\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  balance: least_conections\n",
		 "f:6:12: upstreams[0].balance: there is no 'least_conections'; did you mean "
		 "'least_connections'?\n"},
		{ROUTES "- match: {listener: a}\n",
		 "f:4:3: routes[0]: one of 'upstream', 'reject' or 'original_destination' is "
		 "missing; add it\n"
		 "f:4:21: routes[0].match.listener[0]: no listener is called 'a'; name one of "
		 "`listeners`\n"},
		{ROUTES "- {upstream: a, reject: close}\n",
		 "f:4:3: routes[0]: only one of 'upstream', 'reject' or 'original_destination' may "
		 "be given; choose one\n"},
		{ROUTES "- {upstream: a, reject: close, original_destination: true}\n",
		 "f:4:3: routes[0]: only one of 'upstream', 'reject' or 'original_destination' may "
		 "be given; choose one\n"},
		{LISTENER "upstreams: {name: a b, endpoints: 127.0.0.1:2}\n"
			  "routes: {upstream: b}\n",
		 "f:2:19: upstreams[0].name: it is no name (63 letters, digits, '-', '_' and '.' "
		 "at most, the first a letter or digit)\n"},
	};

	expect(cases, COUNT(cases));
}

Test(config_errors, texts)
{
	static const struct wrong cases[] = {
		{"control: "
		 "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		 "xxxxxxxxxxxxxxxxxxxxxxxxxxx\n" REST,
		 "f:1:10: control: it is too long (107 bytes at most)\n"},
		{"listeners: localhost:1\n" CLOSE,
		 "f:1:12: listeners[0]: the host is no IP address (names are not resolved)\n"},
		{"listeners: 127.0.0.1\n" CLOSE,
		 "f:1:12: listeners[0]: a port must follow, as in 127.0.0.1:9000\n"},
		{"listeners: ::1:80\n" CLOSE,
		 "f:1:12: listeners[0]: an IPv6 address stands in brackets, as in [::1]:9000\n"},
		{"listeners: \"[::1]:0\"\n" CLOSE,
		 "f:1:12: listeners[0]: the port is not between 1 and 65535\n"},
		{"listeners: {name: /, address: 127.0.0.1:1}\n" CLOSE,
		 "f:1:19: listeners[0].name: it is no name (63 letters, digits, '-', '_' and '.' "
		 "at most, the first a letter or digit)\n"},
		{LISTENER_OF "  allow: 10.0.0.1/8\n" CLOSE,
		 "f:3:10: listeners[0].allow: bits are set beyond the prefix; clear them, or "
		 "lengthen it\n"},
		{LISTENER_OF "  deny: [10.0.0.0/8, x]\n" CLOSE,
		 "f:3:22: listeners[0].deny[1]: it is no IP address or range, as in 10.0.0.0/8 or "
		 "2001:db8::/32\n"},
		{"dns_servers: [127.0.0.1, localhost]\n" REST,
		 "f:1:26: dns_servers[1]: it is no address of a name server, as in 192.0.2.53 or "
		 "[2001:db8::53]:53\n"},
		{POOL_OF "  endpoints: [localhost, 127.1:80, \"a:0\", \"a..b:1\", \"-:1\", "
			 "\"1.2.3:80\", \"[::1]\"]\n",
		 "f:5:15: upstreams[0].endpoints[0]: a port must follow, as in "
		 "backend.example.org:8080\n"
		 "f:5:26: upstreams[0].endpoints[1]: the host is no IP address\n"
		 "f:5:36: upstreams[0].endpoints[2]: the port is not between 1 and 65535\n"
		 "f:5:43: upstreams[0].endpoints[3]: it is no host name, as in "
		 "backend.example.org\n"
		 "f:5:53: upstreams[0].endpoints[4]: it is no host name, as in "
		 "backend.example.org\n"
		 "f:5:60: upstreams[0].endpoints[5]: the host is no IP address\n"
		 "f:5:72: upstreams[0].endpoints[6]: a port must follow, as in [::1]:9000\n"},
		{POOL_OF "  endpoints: {srv: \"_http._tcp.example.org:80\"}\n",
		 "f:5:20: upstreams[0].endpoints[0].srv: leave out the port: an SRV record has its "
		 "own\n"},
		{POOL_OF "  endpoints: {srv: x, address: \"y:1\"}\n",
		 "f:5:14: upstreams[0].endpoints[0]: only one of 'address' or 'srv' may be given; "
		 "choose one\n"},
		{POOL_OF "  endpoints: {weight: 3}\n", "f:5:14: upstreams[0].endpoints[0]: one of "
						       "'address' or 'srv' is missing; add it\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  tcp: {source: 127.0.0.1:80}\n",
		 "f:6:17: upstreams[0].tcp.source: it is no IP address, as in 192.0.2.1 (without a "
		 "port), nor `clientip` or `client`\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  tcp: {interface: a/b}\n",
		 "f:6:20: upstreams[0].tcp.interface: it is no name of an interface, as in eth0\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  tcp: {interface: averyverylongname}\n",
		 "f:6:20: upstreams[0].tcp.interface: it is too long (15 bytes at most)\n"},
		{ROUTES "- {match: {sni: 192.0.2.1}, upstream: a}\n",
		 "f:4:17: routes[0].match.sni: SNI is a host name, never an address or a port (RFC "
		 "6066, 3)\n"},
		{ROUTES "- {match: {sni: \"*.*.org\"}, upstream: a}\n",
		 "f:4:17: routes[0].match.sni: '*' stands for one label only, at the start, as in "
		 "*.example.org\n"},
		{ROUTES "- {match: {sni: \"bücher.example\"}, upstream: a}\n",
		 "f:4:17: routes[0].match.sni: it is not ASCII; write the name as DNS has it "
		 "(xn--...)\n"},
		{ROUTES "- {match: {host: \"a.org:80\"}, upstream: a}\n",
		 "f:4:18: routes[0].match.host: leave out the port; an IPv6 address stands in "
		 "brackets\n"},
		{ROUTES "- {match: {host: \"[1.2.3.4]\"}, upstream: a}\n",
		 "f:4:18: routes[0].match.host: only an IPv6 address stands in brackets\n"},
		{ROUTES "- {match: {port: 0}, upstream: a}\n",
		 "f:4:18: routes[0].match.port: it must be within 1 to 65535\n"},
		{ROUTES "- {match: {port: 20-10}, upstream: a}\n",
		 "f:4:18: routes[0].match.port: the range ends before it begins; swap its ends\n"},
		{ROUTES "- {match: {port: http}, upstream: a}\n",
		 "f:4:18: routes[0].match.port: it is no number or range, as in 443 or "
		 "8000-8010\n"},
		{ROUTES "- {match: {source: 10.0.0.0/33}, upstream: a}\n",
		 "f:4:20: routes[0].match.source: the prefix is not 0 to 32, as in 10.0.0.0/8\n"},
	};

	expect(cases, COUNT(cases));
}

Test(config_errors, health)
{
	static const struct wrong cases[] = {
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  health: {interval: 1s}\n",
		 "f:6:11: upstreams[0].health: 'type' is missing; add it, as in type: tcp\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  health: htpt\n",
		 "f:6:11: upstreams[0].health: there is no 'htpt'; did you mean 'http'?\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  health: {type: tcp, path: /}\n",
		 "f:6:29: upstreams[0].health.path: it is for type: http only; leave it out, or "
		 "change type\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  health: {path: /, expect: x}\n",
		 "f:6:11: upstreams[0].health: 'type' is missing; add it, as in type: tcp\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  health: expect\n",
		 "f:6:11: upstreams[0].health: 'expect' is missing; add it, as in expect: +PONG\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  health: {type: http, path: healthz, status: 600, host: a b}\n",
		 "f:6:30: upstreams[0].health.path: it is no path of a URL, as in /healthz (other "
		 "characters as %20)\n"
		 "f:6:47: upstreams[0].health.status: it must be within 100 to 599\n"
		 "f:6:58: upstreams[0].health.host: it is no value of a Host header, as in "
		 "www.example.org\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  health: {type: expct, expect: x}\n",
		 "f:6:18: upstreams[0].health.type: there is no 'expct'; did you mean 'expect'?\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  health: {typ: http, path: /}\n",
		 "f:6:12: upstreams[0].health.typ: there is no such key; did you mean 'type'?\n"},
	};

	expect(cases, COUNT(cases));
}

Test(config_errors, environment)
{
	static const struct wrong cases[] = {
		{"lane: ${SIDELANE_UNSET}\n" REST,
		 "f:1:7: lane: the environment variable SIDELANE_UNSET is not set; set it, or "
		 "write ${SIDELANE_UNSET:-default}\n"},
		{"lane: ${SIDELANE_UNSET:-kernal}\n" REST,
		 "f:1:7: lane: there is no 'kernal'; did you mean 'kernel'?\n"},
		{"lane: ${SIDELANE_LANE}\n" REST,
		 "f:1:7: lane: there is no 'relais'; did you mean 'relay'?\n"},
		{"lane: ${A B}\n" REST, "f:1:7: lane: 'A B' is no name of a variable; write "
					"${NAME} or ${NAME:-default}, and $${ for ${ itself\n"},
		{"lane: ${}\n" REST, "f:1:7: lane: '' is no name of a variable; write ${NAME} or "
				     "${NAME:-default}, and $${ for ${ itself\n"},
		{"lane: ${A\n" REST,
		 "f:1:7: lane: ${ is not closed; write ${NAME}, or $${ for ${ itself\n"},
		{"lane: $${A}\n" REST,
		 "f:1:7: lane: there is no '${A}'; there is auto, kernel and relay\n"},
		{"lane: ${SIDELANE_LATIN1}\n" REST, "f:1:7: lane: the environment variable "
						    "SIDELANE_LATIN1 is not UTF-8; set it again\n"},
	};

	setenv("SIDELANE_LANE", "relais", 1);
	setenv("SIDELANE_LATIN1", "\xe9", 1);
	unsetenv("SIDELANE_UNSET");
	expect(cases, COUNT(cases));
}

Test(config_errors, twice)
{
	static const struct wrong cases[] = {
		{"listeners:\n"
		 "- {name: a, address: 127.0.0.1:1}\n"
		 "- {name: a, address: 127.0.0.1:2}\n" CLOSE,
		 "f:3:10: listeners[1].name: listeners[0] has the name 'a' too; choose another\n"},
		{"listeners: [127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:1]\n" CLOSE,
		 "f:1:39: listeners[2].address: listeners[0] has this address too; leave one of "
		 "them out\n"},
		{"listeners: [127.0.0.1:1, \"[::ffff:127.0.0.1]:1\"]\n" CLOSE,
		 "f:1:26: listeners[1].address: listeners[0] has this address too; leave one of "
		 "them out\n"},
		{"listeners:\n"
		 "- 127.0.0.1:1\n"
		 "- {name: listener-1, address: 127.0.0.1:2}\n" CLOSE,
		 "f:3:10: listeners[1].name: listeners[0] has the name 'listener-1' too; choose "
		 "another\n"},
		{LISTENER "upstreams:\n"
			  "- {name: a, endpoints: 127.0.0.1:2}\n"
			  "- {name: a, endpoints: 127.0.0.1:3}\n"
			  "routes: {upstream: a}\n",
		 "f:4:10: upstreams[1].name: upstreams[0] has the name 'a' too; choose another\n"},
		{ROUTES "- {name: x, match: {source: 10.0.0.0/8}, upstream: a}\n"
			"- {name: x, upstream: a}\n",
		 "f:5:10: routes[1].name: routes[0] has the name 'x' too; choose another\n"},
		{POOL_OF "  endpoints: [127.0.0.1:2, \"a:1\", \"A:1\", 127.0.0.1:2]\n",
		 "f:5:35: upstreams[0].endpoints[2]: endpoints[1] is the same; leave one out, or "
		 "give one of them more weight\n"
		 "f:5:42: upstreams[0].endpoints[3]: endpoints[0] is the same; leave one out, or "
		 "give one of them more weight\n"},
	};

	expect(cases, COUNT(cases));
}

Test(config_errors, sense)
{
	static const struct wrong cases[] = {
		{LISTENER_OF "  deny: 0.0.0.0/0\n"
			     "  allow: [10.0.0.0/8, 192.0.2.1]\n" CLOSE,
		 "f:3:9: warning: listeners[0].deny: it denies all that `allow` allows: nobody is "
		 "let in; take some out\n"},
		{LISTENER_OF "  deny: ::/0\n" CLOSE,
		 "f:3:9: warning: listeners[0].deny: it denies all that `allow` allows: nobody is "
		 "let in; take some out\n"},
		{LISTENER_OF "  limits: {rate_burst: 3}\n" CLOSE,
		 "f:3:24: warning: listeners[0].limits.rate_burst: it means nothing without "
		 "rate_per_source; set that too\n"},
		{POOL_OF "  endpoints: \"[::1]:2\"\n"
			 "  tcp: {source: 10.0.0.1}\n",
		 "f:5:14: upstreams[0].endpoints[0]: it is IPv6, but tcp.source is not: no connect "
		 "can succeed; take a source of the same family\n"},
		{POOL_OF "  endpoints: {address: 127.0.0.1:2, weight: 0}\n",
		 "f:5:14: warning: upstreams[0].endpoints: every weight is 0: no flow is taken; "
		 "give one of them more\n"},
		{POOL_OF "  endpoints: {address: 127.0.0.1:2, backup: true}\n",
		 "f:5:14: warning: upstreams[0].endpoints: every endpoint is a backup, which is as "
		 "if none was; leave `backup` out of one\n"},
		{POOL_OF "  endpoints: 127.0.0.1:2\n"
			 "  ejection: {time: 6m}\n",
		 "f:6:20: upstreams[0].ejection.time: it is longer than time_max; make it shorter, "
		 "or time_max longer\n"},
		{ROUTES "- upstream: a\n"
			"- {match: {source: 10.0.0.0/8}, reject: close}\n",
		 "f:5:3: warning: routes[1]: it is never reached: routes[0] (route-1) takes all "
		 "that it matches; put it before that one, or leave it out\n"},
		{ROUTES "- {match: {sni: \"*.a.org\"}, reject: close}\n"
			"- {match: {sni: [x.a.org, y.a.org], port: 3}, upstream: a}\n"
			"- upstream: a\n",
		 "f:5:3: warning: routes[1]: it is never reached: routes[0] (route-1) takes all "
		 "that it matches; put it before that one, or leave it out\n"},
		{ROUTES "- {match: {sni: a.org, host: b.org}, upstream: a}\n"
			"- upstream: a\n",
		 "f:4:11: warning: routes[0].match: nothing can match it: `sni` and `alpn` are of "
		 "TLS, `host` is of plain HTTP; make it two routes\n"},
		{ROUTES "- {match: {sni: a.org, protocol: [http, ssh]}, upstream: a}\n"
			"- upstream: a\n",
		 "f:4:11: warning: routes[0].match: nothing can match it: `sni` and `alpn` are of "
		 "TLS, `host` is of plain HTTP; make it two routes\n"},
		{ROUTES "- {reject: close, mirror: a}\n",
		 "f:4:27: routes[0].mirror: the route rejects: there is nothing to copy; leave it "
		 "out\n"},
		{ROUTES "- {upstream: a, mirror: a}\n",
		 "f:4:25: warning: routes[0].mirror: it is the upstream itself, which gets "
		 "everything twice; name another\n"},
		{ROUTES "- {match: {source: 10.0.0.0/8}, upstream: a}\n",
		 "f:4:1: notice: routes: a connection to listener listener-1 that no route matches "
		 "is rejected with a RST; a last route without `match` would take it\n"},
		{LISTENER POOL CLOSE,
		 "f:2:12: warning: upstreams[0]: no route leads to it; add one, or leave it out\n"},
		{LISTENER_OF "  proxy_protocol: 0.0.0.0/0\n" CLOSE,
		 "f:3:19: warning: listeners[0].proxy_protocol.from: anybody may say who the "
		 "client is; name the proxies that do\n"},
		{LISTENER_OF "  intercept: {cgroup: /c}\n"
			     "- {address: \"[::1]:1\", intercept: {cgroup: /c}}\n"
			     "- {address: \"[::]:2\", intercept: {cgroup: /c}}\n" CLOSE,
		 "f:5:43: listeners[2].intercept.cgroup: listeners[0] intercepts its IPv4 "
		 "connections; have one listener, and tell them apart by `destination` and `port` "
		 "in routes\n"
		 "f:5:43: listeners[2].intercept.cgroup: listeners[1] intercepts its IPv6 "
		 "connections; have one listener, and tell them apart by `destination` and `port` "
		 "in routes\n"},
		{"listeners: {address: \"[::]:1\", intercept: {mode: redirect}}\n"
		 "routes: {original_destination: true}\n"
		 "original_destination: {tcp: {source: client}}\n",
		 "f:1:50: listeners[0].intercept.mode: connection tracking would take proxyd's "
		 "connection from the client's port for the client's own; let "
		 "`original_destination.tcp.source` be clientip, or take mode tproxy\n"},
		{"listeners: {address: \"[::]:1\", intercept: {mode: redirect}}\n"
		 "routes: {original_destination: true}\n"
		 "original_destination: {tcp: {source: clientip}}\n",
		 ""},
		{"listeners:\n"
		 "- {address: 192.0.2.1:1, intercept: {mode: redirect, traffic: local}}\n"
		 "- {address: 127.0.0.1:2, intercept: {mode: redirect, traffic: local}}\n"
		 "- {address: \"[::1]:3\", intercept: {mode: redirect, traffic: local}}\n"
		 "routes: {reject: close}\n",
		 "f:2:37: listeners[0].intercept: connections of this host's processes are "
		 "redirected to 127.0.0.1 or [::1]; let the listener have that, 0.0.0.0 or "
		 "[::]\n"},
		{"listeners:\n"
		 "- {address: 192.0.2.1:1, intercept: {mode: tproxy}}\n"
		 "- {address: 192.0.2.1:2, intercept: {mode: steer}}\n"
		 "- {address: \"[2001:db8::1]:1\", intercept: {mode: steer}}\n"
		 "routes: {reject: close}\n",
		 "f:4:13: listeners[2].address: listeners[0] has port 1 too, and routes of modes "
		 "tproxy and steer go by the port; take another, or one listener with [::], which "
		 "takes IPv4 too\n"},
		{"listeners: [127.0.0.1:1, 127.0.0.1:2]\n"
		 "routes: {match: {listener: listener-1}, reject: close}\n",
		 "f:1:26: warning: listeners[1]: no route is for it: every connection is rejected; "
		 "add one\n"},
		{"listeners: [127.0.0.1:1, 127.0.0.1:2]\n"
		 "routes: [{match: {listener: [listener-1, listener-2]}, reject: close}]\n",
		 ""},
	};

	expect(cases, COUNT(cases));
}

/* Round and round, until there are no descriptors left. */
Test(config_errors, loops)
{
#define LOOPS(listeners, endpoint, match)                                                          \
	"listeners: [" listeners "]\n"                                                             \
	"upstreams: {name: a, endpoints: \"" endpoint "\"}\n"                                      \
	"routes: [{match: {" match "}, upstream: a}, {reject: close}]\n"
	static const struct wrong cases[] = {
		{LOOPS("127.0.0.1:1", "127.0.0.1:1", "port: 3"),
		 "f:2:33: warning: upstreams[0].endpoints[0]: that is listener listener-1, which "
		 "route route-1 leads back here, round and round; name another server\n"},
		{LOOPS("127.0.0.1:7, 0.0.0.0:1", "127.0.0.1:1", "listener: listener-2"),
		 "f:2:33: warning: upstreams[0].endpoints[0]: that is listener listener-2, which "
		 "route route-1 leads back here, round and round; name another server\n"},
		{LOOPS("\"[::]:1\"", "[::1]:1", "port: 3"),
		 "f:2:33: warning: upstreams[0].endpoints[0]: that is listener listener-1, which "
		 "route route-1 leads back here, round and round; name another server\n"},
		/* One after the other is fine. */
		{LOOPS("127.0.0.1:1, 127.0.0.1:2", "127.0.0.1:2", "listener: listener-1"), ""},
		{LOOPS("127.0.0.1:1", "127.0.0.1:2", "port: 3"), ""},
		{LOOPS("127.0.0.1:1", "127.0.0.2:1", "port: 3"), ""},
		{LOOPS("0.0.0.0:1", "192.0.2.1:1", "port: 3"), ""},
	};

	expect(cases, COUNT(cases));
}

/* ---- Bytes that are no text --------------------------------------------------------------- */

#define EXPECT(bytes, says) expect_one(bytes, sizeof(bytes) - 1, says)

Test(config_errors, bytes)
{
	EXPECT("a: b\nc: \xe9\n", "f:2:4: it is not UTF-8 (byte 0xe9); save it as UTF-8\n");
	EXPECT("\xff\xfe"
	       "a\0",
	       "f:1:1: it is not UTF-8 (byte 0xff); save it as UTF-8 instead of UTF-16\n");
	EXPECT("# \xc3\xa9\xc3\xa9\xe2\x82\n",
	       "f:1:5: it is not UTF-8 (byte 0xe2); save it as UTF-8\n");
	EXPECT("\xc0\xaf", "f:1:1: it is not UTF-8 (byte 0xc0); save it as UTF-8\n");
	EXPECT("\xed\xa0\x80", "f:1:1: it is not UTF-8 (byte 0xed); save it as UTF-8\n");
	EXPECT("\xf4\x90\x80\x80", "f:1:1: it is not UTF-8 (byte 0xf4); save it as UTF-8\n");
	EXPECT("a: \0b", "f:1:4: it holds a control character (byte 0x00); remove it, or write it "
			 "as an escape in double quotes\n");
	EXPECT("a: b\x1b[0m",
	       "f:1:5: it holds a control character (byte 0x1b); remove it, or write "
	       "it as an escape in double quotes\n");
}

/* ---- Bounds ------------------------------------------------------------------------------- */

static char *repeated(const char *before, const char *each, size_t times, const char *after)
{
	size_t length = strlen(each);
	char *text = malloc(strlen(before) + times * length + strlen(after) + 1);
	char *at;

	cr_assert_not_null(text);
	at = stpcpy(text, before);
	for (size_t i = 0; i < times; i++)
		at = stpcpy(at, each);
	strcpy(at, after);
	return text;
}

static void expect_of(char *text, const char *says)
{
	expect_one(text, strlen(text), says);
	free(text);
}

Test(config_errors, bounds)
{
	expect_of(repeated("a: ", "[", 33, ""), "f:1:35: it is nested more than 32 deep\n");
	expect_of(repeated("a: ", "[", SOURCE_MAX - 3, ""),
		  "f:1:35: it is nested more than 32 deep\n");
	expect_of(repeated("", "- ", 33, ""), "f:1:65: it is nested more than 32 deep\n");
	expect_of(repeated("a: [", "b,", DOCUMENT_NODES_MAX, "]"),
		  "f:1:199999: there are more than 100000 keys and values\n");
	expect_of(repeated("a: &a b\nc: [", "*a,", DOCUMENT_ANCHORS_MAX, "]"),
		  "f:2:3002: there are more than 1000 anchors and aliases\n");
	expect_of(repeated("listeners: [", "127.0.0.1:1,", 257, "]\n" CLOSE),
		  "f:1:12: listeners: there are too many (257; 256 at most)\n");
}

/* Each line ten times the one before it. */
Test(config_errors, bombs)
{
	static const char *const start = "f:1:";
	char text[8192] = "x-a: &a0 [10.0.0.0/8, 10.0.0.0/8]\n";
	char said[16384];

	for (int i = 1; i < 9; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "x-%d: &a%d {<<: [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]}\n", i,
			 i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
	strcat(text, "listeners: {<<: *a8, address: 127.0.0.1:1}\n" CLOSE);
	cr_expect_eq(load(text, strlen(text), said, sizeof(said)), -EINVAL);
	cr_expect_eq(strncmp(said, start, strlen(start)), 0, "%s", said);
	cr_expect(strstr(said, "merge"), "%s", said);
}

/* Long lists, referred to over and over. */
Test(config_errors, aliases_of_much)
{
	char *list = repeated("x-a: &a [", "10.0.0.0/8,", 2000, "]\nlisteners:\n");
	char *text = repeated(list, "- {address: 127.0.0.1:1, allow: *a, deny: *a}\n", 200, CLOSE);
	char said[32768];

	cr_expect_eq(load(text, strlen(text), said, sizeof(said)), -EINVAL);
	cr_expect(strstr(said, "aliases and merges make too much of the file"), "%s", said);
	free(list);
	free(text);
}

Test(config_errors, are_counted_beyond_a_bound)
{
	char *text = repeated("", "lane: fast\n", 300, REST);
	struct config_report report = {0};
	struct config *config = NULL;

	cr_assert_eq(config_load_text("f", text, strlen(text), &config, &report), -EINVAL);
	cr_expect_eq(report.count, REPORT_MAX);
	cr_expect_eq(report.errors, 300); /* 299 of them twice, one of the first's value */
	cr_expect_eq(report.left_out, 200);
	report_clear(&report);
	free(text);
}

Test(config_errors, unreadable_files)
{
	static const struct {
		const char *path, *says;
		int err;
	} cases[] = {
		{"/nonexistent/file",
		 "/nonexistent/file: cannot read it: No such file or directory", -ENOENT},
		{"/", "/: cannot read it: Is a directory; name a file in it", -EISDIR},
		{"/dev/zero", "/dev/zero: it is larger than 1 MiB", -EINVAL},
		{"/dev/null", "/dev/null:1:1: it is empty; it needs listeners and routes", -EINVAL},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config_report report = {0};
		struct config *config = NULL;
		char said[1024] = "";

		cr_expect_eq(config_load(cases[i].path, &config, &report), cases[i].err);
		cr_expect_eq(report.count, 1);
		if (report.count)
			report_format(&report, report.messages, said, sizeof(said));
		cr_expect_str_eq(said, cases[i].says);
		report_clear(&report);
	}
}
