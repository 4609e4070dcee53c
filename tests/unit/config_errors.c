// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Mistakes in how a configuration file is made, and in what it says as a whole. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"
#include "unit/config_errors.h"

int load_wrong(const char *text, size_t size, char *said, size_t room)
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

void expect_wrong(const struct wrong *cases, size_t count)
{
	static char said[16384];

	for (size_t i = 0; i < count; i++) {
		load_wrong(cases[i].text, strlen(cases[i].text), said, sizeof(said));
		cr_expect_str_eq(said, cases[i].says, "of\n%sit says\n%snot\n%s", cases[i].text,
				 said, cases[i].says);
	}
}

void expect_one(const char *text, size_t size, const char *says)
{
	static char said[16384];

	cr_expect_eq(load_wrong(text, size, said, sizeof(said)), -EINVAL, "of %s", says);
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
		 "window, control, cgroup, direct_lane, direct_programs, pin, access_log, "
		 "drain_timeout, "
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

	expect_wrong(cases, COUNT(cases));
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

	expect_wrong(cases, COUNT(cases));
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
		 "window, control, cgroup, direct_lane, direct_programs, pin, access_log, "
		 "drain_timeout, "
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
		 "window, control, cgroup, direct_lane, direct_programs, pin, access_log, "
		 "drain_timeout, "
		 "dns_servers, listeners, upstreams, "
		 "routes, original_destination, acceleration\n"},
		{"é: 1\n" LISTENER "window: big\n" CLOSE,
		 "f:1:1: é: there is no such key; the keys of the file are workers, lane, window, "
		 "control, cgroup, direct_lane, direct_programs, pin, access_log, drain_timeout, "
		 "dns_servers, "
		 "listeners, upstreams, routes, "
		 "original_destination, acceleration\n"
		 "f:3:9: window: it is no size, as in 4MiB or 65536\n"},
	};

	expect_wrong(cases, COUNT(cases));
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
	expect_wrong(cases, COUNT(cases));
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

	expect_wrong(cases, COUNT(cases));
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

	expect_wrong(cases, COUNT(cases));
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

	expect_wrong(cases, COUNT(cases));
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
