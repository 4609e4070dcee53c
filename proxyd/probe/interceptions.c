// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe/interceptions.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "intake/interception.h"
#include "intake/listener.h"
#include "intake/netfilter.h"

#define GRANT "grant CAP_NET_ADMIN and CAP_BPF; "

static struct config_listener listener_of(enum intercept_mode mode)
{
	return (struct config_listener){
		.name = (char *)"doctor",
		.address = {.ipv4 = {.sin_family = AF_INET, .sin_port = htons(1)},
			    .length = sizeof(struct sockaddr_in)},
		.intercept = {.mode = mode,
			      .traffic = INTERCEPT_ROUTED,
			      .on_exit = INTERCEPT_EXIT_OPEN,
			      .rules = INTERCEPT_RULES_SKIP},
	};
}

/* Nothing is attached; who cannot load says so on standard error. */
static void examine_programs(struct report *report, const char *name, enum intercept_mode mode,
			     const char *remedy)
{
	struct finding *finding = finding_add(report, name, SCOPE_NOTHING, remedy);
	const struct config_listener listener = listener_of(mode);
	struct interception *interception = NULL;
	struct claims *claims = NULL;
	int err;

	claims_new(&claims);
	err = interception_new(&listener, NULL, claims, &interception);
	/* By another proxyd, which shows that it can be. */
	if (err && err != -EADDRINUSE)
		finding_conclude(finding, FINDING_FAILED, "cannot be loaded: %s", strerror(-err));
	else
		finding_conclude(finding, FINDING_OK, "can be loaded");
	interception_unref(interception);
	claims_unref(claims);
}

static void examine_rules(struct report *report, const char *name, enum intercept_mode mode,
			  const char *remedy)
{
	struct finding *finding = finding_add(report, name, SCOPE_NOTHING, remedy);
	const struct config_listener listener = listener_of(mode);
	char why[100] = "out of memory";

	if (netfilter_try(&listener, why, sizeof(why)))
		finding_conclude(finding, FINDING_FAILED, "%s", why);
	else
		finding_conclude(finding, FINDING_OK, "the kernel takes such rules");
}

/* By the very socket that such a listener has, at a port that is free. */
static void examine_transparent(struct report *report)
{
	struct finding *finding = finding_add(report, "IP_TRANSPARENT", SCOPE_NOTHING,
					      "grant CAP_NET_ADMIN; without it modes tproxy and "
					      "steer do not start");
	struct config_listener listener = listener_of(INTERCEPT_TPROXY);
	int fd;

	listener.address.ipv4.sin_port = 0;
	listener.address.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = listener_open(&listener);
	if (fd < 0)
		finding_conclude(finding, FINDING_FAILED, "%s", strerror(-fd));
	else
		finding_conclude(finding, FINDING_OK, "can be set");
	if (fd >= 0)
		close(fd);
}

static void examine_tun(struct report *report)
{
	struct finding *finding = finding_add(report, "/dev/net/tun", SCOPE_NOTHING,
					      "load the module tun, and let proxyd's user open it; "
					      "until then mode steer cannot have `interfaces`");
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		finding_conclude(finding, FINDING_FAILED, "%s", strerror(errno));
	else
		finding_conclude(finding, FINDING_OK, "can be opened");
	if (fd >= 0)
		close(fd);
}

void interceptions_examine(struct report *report)
{
	examine_programs(report, "cgroup connect", INTERCEPT_CONNECT,
			 GRANT "it takes Linux 5.15 and cgroup v2; until then take mode redirect");
	examine_rules(report, "nftables redirect", INTERCEPT_REDIRECT,
		      "grant CAP_NET_ADMIN; it takes Linux 5.12 with nft_redir, nft_fib_inet and "
		      "nft_socket; until then take mode connect");
	examine_rules(report, "nftables tproxy", INTERCEPT_TPROXY,
		      "grant CAP_NET_ADMIN; it takes Linux 5.12 with nft_tproxy, nft_socket and "
		      "nft_fib_inet; until then take mode steer");
	examine_transparent(report);
	examine_programs(report, "sk_lookup", INTERCEPT_STEER,
			 GRANT "it takes Linux 5.9; until then take mode tproxy");
	examine_tun(report);
}
