// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What sock_ops stored in the SOCKHASH for live connections, against what user space computes for
 * the same sockets. The kernel lane is proxyd's own.
 */
#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "flow/splicer.h"
#include "flow/socket_key.h"
#include "unit/connection.h"
#include "unit/lane.h"

/* This process' SOCKHASH; the lane does not show its maps. */
static int find_sockhash(void)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	cr_assert(folder);
	while (found < 0 && (entry = readdir(folder))) {
		struct bpf_map_info info = {0};
		__u32 size = sizeof(info);
		int fd = atoi(entry->d_name);

		if (*entry->d_name != '.' && !bpf_obj_get_info_by_fd(fd, &info, &size) &&
		    info.type == BPF_MAP_TYPE_SOCKHASH && !strcmp(info.name, "sockets"))
			found = fd;
	}
	closedir(folder);
	cr_assert_geq(found, 0, "no SOCKHASH among the descriptors");
	return found;
}

static unsigned int count_keys(int map)
{
	struct sl_key key, next;
	unsigned int count = 0;

	for (int err = bpf_map_get_next_key(map, NULL, &next); !err;
	     err = bpf_map_get_next_key(map, &key, &next)) {
		key = next;
		count++;
	}
	return count;
}

static void print_key(const char *who, const struct sl_key *key)
{
	fprintf(stderr, "%-11s", who);
	for (size_t i = 0; i < sizeof(*key); i++)
		fprintf(stderr, "%s%02x", i % 4 ? "" : " ", ((const unsigned char *)key)[i]);
	fputc('\n', stderr);
}

/* As user space computes it, it must be in the map, byte for byte. */
static void expect_enrolled(int map, int fd, const char *who)
{
	struct sl_key key, stored;
	__u64 cookie = 0;

	memset(&key, 0xff, sizeof(key));
	cr_assert_eq(socket_key(fd, &key), 0);
	if (!bpf_map_lookup_elem(map, &key, &cookie)) {
		cr_expect_eq(cookie, key.cookie, "%s: the cookie of another socket", who);
		return;
	}
	print_key("user space", &key);
	for (int err = bpf_map_get_next_key(map, NULL, &stored); !err;
	     err = bpf_map_get_next_key(map, &stored, &stored))
		print_key("stored", &stored);
	cr_expect_fail("%s: the map has another key for it", who);
}

static void claim(int fd, void *lane)
{
	cr_assert_eq(kernel_lane_claim(lane, fd), 0);
}

Test(enrolment, stores_the_key_that_user_space_computes)
{
	struct kernel_lane *lane = lane_open(true, 1 << 20);
	int map = find_sockhash();

	for (enum connection_kind kind = 0; kind < CONNECTION_KINDS; kind++) {
		struct connection connection;

		connection_open(kind, &connection, claim, lane);
		expect_enrolled(map, connection.client, connection_names[kind]);
		expect_enrolled(map, connection.server, connection_names[kind]);
		cr_expect_eq(count_keys(map), 2, "%s", connection_names[kind]);
		connection_close(&connection);
		cr_expect_eq(count_keys(map), 0, "%s: a closed socket is still there",
			     connection_names[kind]);
	}
	kernel_lane_free(lane);
}

/* Others in the same cgroup are none of the proxy's business. */
Test(enrolment, leaves_sockets_alone_that_were_not_claimed)
{
	struct kernel_lane *lane = lane_open(true, 1 << 20);
	struct connection connection;

	connection_open(CONNECTION_IPV4, &connection, NULL, NULL);
	cr_assert_eq(count_keys(find_sockhash()), 0);
	connection_close(&connection);
	kernel_lane_free(lane);
}

static void ignore_event(void *user, uint32_t pair, const struct sl_event *event)
{
	(void)user;
	(void)pair;
	(void)event;
}

/* Of two connections, each a side of one flow; with sock_ops there is nothing left to enrol. */
static void enrol_pair(bool sock_ops)
{
	struct kernel_lane *lane = lane_open(sock_ops, 1 << 20);
	struct connection down, up;
	struct splicer *splicer;
	struct splice_pair *pair;
	const uint64_t read[2] = {0, 0};
	int fds[2], map = find_sockhash();

	cr_assert_eq(splicer_new(lane, 0, ignore_event, NULL, &splicer), 0);
	connection_open(CONNECTION_IPV6, &down, sock_ops ? claim : NULL, lane);
	connection_open(CONNECTION_MAPPED, &up, sock_ops ? claim : NULL, lane);
	fds[0] = down.server;
	fds[1] = up.client;
	cr_assert_eq(count_keys(map), sock_ops ? 4 : 0);
	cr_assert_eq(splicer_pair(splicer, fds, read, &pair), 0);
	expect_enrolled(map, fds[0], "downstream");
	expect_enrolled(map, fds[1], "upstream");
	cr_assert_eq(count_keys(map), sock_ops ? 4 : 2, "a socket was enrolled twice");
	connection_close(&down);
	connection_close(&up);
	splice_pair_free(pair);
	cr_assert_eq(count_keys(map), 0);
	splicer_free(splicer);
	kernel_lane_free(lane);
}

Test(enrolment, from_user_space_stores_the_same_key)
{
	enrol_pair(false);
}

Test(enrolment, from_user_space_finds_what_sock_ops_has_done)
{
	enrol_pair(true);
}
