// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intake/listener.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "socket_options.h"

/* The kernel cuts it to net.core.somaxconn. */
#define BACKLOG     65535

#define TAIL_S      30
#define TAIL_CHECKS 50 /* a second */

/* Accept for addresses that are not this host's (ip(7)); the sockets that are accepted have it too.
 */
static int set_transparent(int fd, sa_family_t family)
{
	int on = 1;
	bool ipv6 = family == AF_INET6;

	return setsockopt(fd, ipv6 ? SOL_IPV6 : SOL_IP, ipv6 ? IPV6_TRANSPARENT : IP_TRANSPARENT,
			  &on, sizeof(on))
		       ? -errno
		       : 0;
}

static int bound_socket(const struct address *address, int option)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			IPPROTO_TCP);
	int on = 1, err;

	if (fd < 0)
		return -errno;
	/* SO_REUSEADDR: old connections in TIME_WAIT do not count as use (socket(7)). */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (option)
		setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on));
	if (bind(fd, &address->any, address->length)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int listener_check(const struct address *address)
{
	int fd = bound_socket(address, 0);
	int err = 0;

	if (fd < 0)
		return fd;
	if (listen(fd, 1))
		err = -errno;
	close(fd);
	return err;
}

int listener_open(const struct config_listener *config)
{
	int fd = bound_socket(&config->address, SO_REUSEPORT);
	int err;

	if (fd < 0)
		return fd;
	err = socket_options_set(fd, &config->tcp, true);
	if (!err && config->intercept.mode >= INTERCEPT_TPROXY)
		err = set_transparent(fd, config->address.any.sa_family);
	if (!err && listen(fd, BACKLOG))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

bool listener_takes(const struct config_listener *config, bool ipv6)
{
	const struct address *address = &config->address;

	return ipv6 == (address->any.sa_family == AF_INET6) || (!ipv6 && address_is_any(address));
}

/* ---- What close(2) left to the kernel ----------------------------------------------------- */

static bool is_same(const struct sockaddr *address, const struct in6_addr *ip, bool ipv6)
{
	if (!address || address->sa_family != (ipv6 ? AF_INET6 : AF_INET))
		return false;
	return ipv6 ? !memcmp(&((const struct sockaddr_in6 *)address)->sin6_addr, ip, sizeof(*ip))
		    : ((const struct sockaddr_in *)address)->sin_addr.s_addr == ip->s6_addr32[3];
}

/* `text`: as /proc/net/tcp and tcp6 have it, in words of the host's byte order. */
static bool is_foreign(const char *text, const struct ifaddrs *own)
{
	bool ipv6 = strlen(text) == 32;
	struct in6_addr ip = {0};

	for (size_t word = ipv6 ? 0 : 3; word < 4 && *text; word++, text += 8) {
		char digits[9] = {0};

		memcpy(digits, text, 8);
		ip.s6_addr32[word] = (uint32_t)strtoul(digits, NULL, 16);
	}
	ipv6 = ipv6 && !IN6_IS_ADDR_V4MAPPED(&ip);
	/* All of 127.0.0.0/8 is here. */
	if (!ipv6 && ip.s6_addr[12] == IN_LOOPBACKNET)
		return false;
	while (own && !is_same(own->ifa_addr, &ip, ipv6))
		own = own->ifa_next;
	return !own;
}

static bool has_tail(unsigned int port, const struct ifaddrs *own, const char *table)
{
	/* Of enum tcp_states: FIN_WAIT1, LAST_ACK, CLOSING. */
	static const unsigned int waiting = 1u << 4 | 1u << 9 | 1u << 11;
	FILE *sockets = fopen(table, "r");
	char line[256], address[33];
	unsigned int local, state;
	bool found = false;

	while (sockets && !found && fgets(line, sizeof(line), sockets))
		found = sscanf(line, " %*[^:]: %32[0-9A-F]:%x %*s %x", address, &local, &state) ==
				3 &&
			state < 32 && waiting >> state & 1 &&
			(port ? local == port : is_foreign(address, own));
	if (sockets)
		fclose(sockets);
	return found;
}

bool listener_has_tail(unsigned int port)
{
	struct ifaddrs *own = NULL;
	bool found = false;

	if (port || !getifaddrs(&own))
		found = has_tail(port, own, "/proc/self/net/tcp") ||
			has_tail(port, own, "/proc/self/net/tcp6");
	if (own)
		freeifaddrs(own);
	return found;
}

/* A second signal, which nobody else takes any more: cmd_run.c leaves it pending. */
static bool is_told_again(void)
{
	sigset_t pending;

	return !sigpending(&pending) &&
	       (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

void listener_warn_of_tail(void)
{
	log_warning("some clients have not acknowledged the end of what they were sent; their "
		    "connections may break, now that proxyd takes its rules away");
}

void listener_await_tail(unsigned int port)
{
	static atomic_uint left = TAIL_S * TAIL_CHECKS; /* of all listeners together */
	const struct timespec pause = {.tv_nsec = 1000 * 1000 * 1000 / TAIL_CHECKS};
	unsigned int most = atomic_load(&left);

	while (listener_has_tail(port)) {
		if (!most-- || is_told_again()) {
			listener_warn_of_tail();
			return;
		}
		atomic_fetch_sub(&left, 1);
		nanosleep(&pause, NULL);
	}
}
