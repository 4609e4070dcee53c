// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Values that a configuration file may not have. */
#include <criterion/criterion.h>

#include "unit/config_errors.h"

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
		/* As a key that is left out it would let everybody in, and match anything. */
		{LISTENER_OF "  allow: []\n" CLOSE, "f:3:10: listeners[0].allow: it is empty; name "
						    "one at least, or leave the key out\n"},
		{LISTENER POOL "routes: {match: {sni: []}, upstream: a}\n",
		 "f:3:23: routes[0].match.sni: it is empty; name one at least, or leave the key "
		 "out\n"},
		{"control: \"a\\0b\"\n" REST,
		 "f:1:10: control: it holds a NUL character; leave it out\n"},
		{LISTENER "routes: []\n", "f:2:9: routes: it is empty; one at least is needed\n"},
		{LISTENER "routes: close\n", "f:2:9: routes[0]: a single value stands here; a "
					     "mapping is wanted, as in name: ...\n"},
	};

	expect_wrong(cases, COUNT(cases));
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

	expect_wrong(cases, COUNT(cases));
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

	expect_wrong(cases, COUNT(cases));
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
		{"access_log: access.log\n" REST,
		 "f:1:13: access_log: it is none of stderr, stdout, and a path that begins with "
		 "'/'\n"},
		{"access_log: {to: \"\", flows: some}\n" REST,
		 "f:1:18: access_log.to: it is empty; give it a value, or leave it out\n"
		 "f:1:29: access_log.flows: there is no 'some'; there is all and failed\n"},
		{"access_log: {flows: failed}\n" REST,
		 "f:1:13: access_log: 'to' is missing; add it, as in to: "
		 "/var/log/proxyd/access.log\n"},
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

	expect_wrong(cases, COUNT(cases));
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

	expect_wrong(cases, COUNT(cases));
}
