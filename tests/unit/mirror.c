// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow/mirror.h"
#include "flow/worker.h"

#define KIB 1024UL

/* A worker's mirrors, and an upstream of one endpoint. */
struct scene {
	struct event_base *base;
	struct stats stats;
	struct room room;
	struct mirrors *mirrors;
	struct upstream *upstream;
	struct config_endpoint endpoint;
	struct config_upstream config;
	int listener;
};

TestSuite(mirror, .timeout = 100);

static int bound(struct address *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

	address->length = sizeof(address->ipv4);
	address->ipv4.sin_family = AF_INET;
	address->ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert_eq(bind(fd, &address->any, address->length), 0);
	cr_assert_eq(getsockname(fd, &address->any, &address->length), 0);
	return fd;
}

static void set_up(struct scene *scene, bool listening)
{
	memset(scene, 0, sizeof(*scene));
	signal(SIGPIPE, SIG_IGN);
	scene->room.flows_max = 1000;
	scene->listener = bound(&scene->endpoint.address);
	if (listening)
		cr_assert_eq(listen(scene->listener, 16), 0);
	scene->endpoint.text = (char *)"mirror";
	scene->endpoint.weight = 1;
	scene->config.name = (char *)"shadow";
	scene->config.endpoints = &scene->endpoint;
	scene->config.endpoint_count = 1;
	scene->config.connect_timeout = 60000;
	scene->base = event_base_new();
	cr_assert_eq(upstream_new(&scene->config, worker_now_ms(), &scene->upstream), 0);
	cr_assert_eq(mirrors_new(scene->base, &scene->stats, &scene->room, &scene->mirrors), 0);
}

/* Whatever became of the mirrors, no descriptor is left. */
static void tear_down(struct scene *scene)
{
	mirrors_free(scene->mirrors);
	cr_expect_eq(scene->room.flows, 0);
	upstream_unref(scene->upstream);
	event_base_free(scene->base);
	close(scene->listener);
	libevent_global_shutdown();
}

static struct mirror *made(struct scene *scene)
{
	const struct mirror_target target = {.upstream = scene->upstream,
					     .options = &scene->config,
					     .source = &scene->endpoint.address};
	struct mirror *mirror = NULL;

	cr_assert_eq(mirror_new(scene->mirrors, &target, &mirror), 0);
	return mirror;
}

static int accepted(struct scene *scene)
{
	const struct timeval patience = {.tv_sec = 60};
	int fd = accept(scene->listener, NULL, NULL);

	cr_assert_geq(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

/* Serve the mirrors for so long. */
static void run(struct scene *scene, unsigned int milliseconds)
{
	const struct timeval span = {.tv_sec = milliseconds / 1000,
				     .tv_usec = milliseconds % 1000 * 1000};

	event_base_loopexit(scene->base, &span);
	event_base_dispatch(scene->base);
}

static void run_until(struct scene *scene, const counter *value, uint64_t expected)
{
	for (int i = 0; i < 1000 && stats_get(value) != expected; i++)
		run(scene, 10);
	cr_assert_eq(stats_get(value), expected, "%lu", stats_get(value));
}

static void run_until_gone(struct scene *scene)
{
	for (int i = 0; i < 600 && scene->room.flows; i++)
		run(scene, i < 100 ? 10 : 100);
	cr_expect_eq(scene->room.flows, 0);
}

/* Byte `at` of what all tests send. */
static unsigned char byte(size_t at)
{
	return (unsigned char)(at * 7 + at / 251);
}

static void give(struct mirror *mirror, size_t from, size_t size)
{
	unsigned char bytes[64 * KIB];

	while (size) {
		size_t piece = size < sizeof(bytes) ? size : sizeof(bytes);

		for (size_t i = 0; i < piece; i++)
			bytes[i] = byte(from + i);
		mirror_give(mirror, bytes, piece);
		from += piece;
		size -= piece;
	}
}

/* Returns how many bytes came before the stream's end, or the error in *err. */
static size_t received(int fd, int *err)
{
	unsigned char bytes[16 * KIB];
	size_t at = 0;
	ssize_t size;

	while ((size = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		for (ssize_t i = 0; i < size; i++, at++)
			cr_assert_eq(bytes[i], byte(at), "byte %zu", at);
	*err = size < 0 ? errno : 0;
	return at;
}

Test(mirror, gets_all_bytes_and_the_end)
{
	const size_t sizes[] = {0, 1, 1000, 100 * KIB, 250 * KIB};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct scene scene;
		struct mirror *mirror;
		int fd, err;

		set_up(&scene, true);
		mirror = made(&scene);
		/* Before proxyd could have heard of the connect. */
		give(mirror, 0, sizes[i]);
		cr_expect(mirror_takes(mirror));
		mirror_end(mirror);
		mirror_leave(mirror);
		fd = accepted(&scene);
		run_until(&scene, &scene.stats.mirrored, sizes[i]);
		run(&scene, 20);
		cr_expect_eq(received(fd, &err), sizes[i]);
		cr_expect_eq(err, 0);
		cr_expect_eq(scene.room.flows, 1, "it waits for the mirror's end");
		close(fd);
		run_until_gone(&scene);
		cr_expect_eq(stats_get(&scene.stats.mirror_dropped), 0);
		cr_expect_eq(stats_get(&scene.stats.mirrors_total), 1);
		tear_down(&scene);
	}
}

Test(mirror, discards_answers_without_end)
{
	struct scene scene;
	struct mirror *mirror;
	char noise[64 * KIB] = "";
	size_t answered = 0;
	int fd, err;

	set_up(&scene, true);
	mirror = made(&scene);
	run(&scene, 20);
	fd = accepted(&scene);
	for (int i = 0; i < 1000000 && answered <= 50 * 1024 * KIB; i++) {
		ssize_t sent = send(fd, noise, sizeof(noise), MSG_DONTWAIT);

		answered += sent > 0 ? (size_t)sent : 0;
		event_base_loop(scene.base, EVLOOP_NONBLOCK);
	}
	cr_expect_gt(answered, 50 * 1024 * KIB, "%zu bytes", answered);
	give(mirror, 0, 1000);
	/* One that has said all still listens. */
	shutdown(fd, SHUT_WR);
	run(&scene, 20);
	give(mirror, 1000, 1000);
	mirror_end(mirror);
	cr_expect_eq(received(fd, &err), 2000);
	cr_expect_eq(err, 0);
	mirror_leave(mirror);
	tear_down(&scene);
	close(fd);
}

Test(mirror, is_given_up_when_it_does_not_keep_up)
{
	const size_t piece = 64 * KIB;
	struct scene scene;
	struct mirror *mirror;
	size_t given = 0, got;
	int fd, err, small = 4096;

	set_up(&scene, true);
	scene.config.tcp.send_buffer = 64 * KIB;
	setsockopt(scene.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	mirror = made(&scene);
	run(&scene, 20);
	fd = accepted(&scene);
	for (; mirror_takes(mirror); given += piece) {
		give(mirror, given, piece);
		cr_assert_lt(given, 1024 * KIB, "not bounded");
	}
	cr_expect_gt(given, 256 * KIB);
	cr_expect_eq(stats_get(&scene.stats.mirrors_lost[MIRROR_SLOW]), 1);
	cr_expect_eq(scene.room.flows, 0);
	/* From now on everything is missed, whichever way it went. */
	give(mirror, given, 1000);
	mirror_miss(mirror, 500);
	cr_expect_eq(stats_get(&scene.stats.mirrored) + stats_get(&scene.stats.mirror_dropped),
		     given + 1500);
	got = received(fd, &err);
	cr_expect_leq(got, stats_get(&scene.stats.mirrored));
	cr_expect_eq(err, ECONNRESET, "a stream with a hole must not look like a whole one");
	mirror_end(mirror);
	mirror_leave(mirror);
	close(fd);
	tear_down(&scene);
}

Test(mirror, that_refuses_is_given_up)
{
	struct scene scene;
	struct mirror *mirror;

	set_up(&scene, false);
	mirror = made(&scene);
	give(mirror, 0, 1000);
	run_until(&scene, &scene.stats.mirrors_lost[MIRROR_UNREACHABLE], 1);
	cr_expect_not(mirror_takes(mirror));
	cr_expect_eq(stats_get(&scene.stats.mirror_dropped), 1000);
	mirror_leave(mirror);
	tear_down(&scene);
}

Test(mirror, without_an_endpoint_is_given_up)
{
	struct scene scene;
	struct mirror *mirror;

	set_up(&scene, true);
	cr_assert_eq(upstream_drain(scene.upstream, "mirror", true), 0);
	mirror = made(&scene);
	cr_expect_not(mirror_takes(mirror));
	give(mirror, 0, 1000);
	cr_expect_eq(stats_get(&scene.stats.mirrors_lost[MIRROR_UNREACHABLE]), 1);
	cr_expect_eq(stats_get(&scene.stats.mirror_dropped), 1000);
	mirror_end(mirror);
	mirror_leave(mirror);
	tear_down(&scene);
}

/* What connect(2) fails with; 0: it does not. */
static int connect_error;

int __real_connect(int fd, const struct sockaddr *to, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *to, socklen_t size);

int __wrap_connect(int fd, const struct sockaddr *to, socklen_t size)
{
	if (!connect_error)
		return __real_connect(fd, to, size);
	errno = connect_error;
	return -1;
}

static json_int_t connects_failed(struct scene *scene)
{
	json_t *status = upstream_json(scene->upstream, worker_now_ms());
	const json_t *endpoint = json_array_get(json_object_get(status, "endpoints"), 0);
	const json_t *failed = json_object_get(endpoint, "connects_failed");
	json_int_t count = json_integer_value(failed);

	cr_assert(json_is_integer(failed));
	json_decref(status);
	return count;
}

/* No port is left on this host, say: the endpoint, which flows may use too, is as good as ever. */
Test(mirror, that_cannot_be_connected_from_here_is_not_to_blame)
{
	static const int errors[] = {EADDRNOTAVAIL, EHOSTUNREACH};
	struct scene scene;

	set_up(&scene, true);
	for (int i = 0; i < 2; i++) {
		struct mirror *mirror;

		connect_error = errors[i];
		mirror = made(&scene);
		cr_expect_not(mirror_takes(mirror));
		cr_expect_eq(connects_failed(&scene), i, "error %d", errors[i]);
		mirror_leave(mirror);
	}
	tear_down(&scene);
}

Test(mirror, that_does_not_answer_the_connect_is_given_up)
{
	struct scene scene;
	struct mirror *mirror;

	set_up(&scene, true);
	scene.config.connect_timeout = 5000;
	cr_assert_eq(listen(scene.listener, 0), 0);
	/* The first ones fill its queue. */
	for (int i = 0; i < 4; i++)
		mirror_leave(made(&scene));
	for (int i = 0; i < 4; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		connect(fd, &scene.endpoint.address.any, scene.endpoint.address.length);
	}
	mirror = made(&scene);
	give(mirror, 0, 1000);
	run(&scene, 300);
	cr_expect(mirror_takes(mirror));
	for (int i = 0; i < 100 && mirror_takes(mirror); i++)
		run(&scene, 100);
	cr_expect_not(mirror_takes(mirror));
	cr_expect_eq(stats_get(&scene.stats.mirror_dropped), 1000);
	mirror_leave(mirror);
	tear_down(&scene);
}

Test(mirror, that_resets_is_given_up)
{
	const struct linger hard = {.l_onoff = 1};
	struct scene scene;
	struct mirror *mirror;
	int fd;

	set_up(&scene, true);
	mirror = made(&scene);
	give(mirror, 0, 1000);
	run(&scene, 20);
	fd = accepted(&scene);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(fd);
	run_until(&scene, &scene.stats.mirrors_lost[MIRROR_RESET], 1);
	cr_expect_not(mirror_takes(mirror));
	mirror_leave(mirror);
	tear_down(&scene);
}

Test(mirror, of_a_stream_without_an_end_is_reset)
{
	struct scene scene;
	struct mirror *mirror;
	int fd, err;

	set_up(&scene, true);
	mirror = made(&scene);
	give(mirror, 0, 1000);
	run_until(&scene, &scene.stats.mirrored, 1000);
	fd = accepted(&scene);
	mirror_leave(mirror);
	cr_expect_eq(received(fd, &err), 1000);
	cr_expect_eq(err, ECONNRESET);
	for (int loss = 0; loss < MIRROR_LOSSES; loss++)
		cr_expect_eq(stats_get(&scene.stats.mirrors_lost[loss]), 0,
			     "the flow was cut off, not the mirror given up");
	close(fd);
	tear_down(&scene);
}

/* It takes longer than the flow, but it goes on. */
Test(mirror, may_take_its_time_behind_the_end)
{
	const size_t size = 200 * KIB;
	struct scene scene;
	struct mirror *mirror;
	size_t got = 0;
	int fd, small = 4096;

	set_up(&scene, true);
	scene.config.tcp.send_buffer = 16 * KIB;
	setsockopt(scene.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	mirror = made(&scene);
	give(mirror, 0, size);
	mirror_end(mirror);
	mirror_leave(mirror);
	fd = accepted(&scene);
	while (got < size) {
		unsigned char bytes[2 * KIB];
		ssize_t count = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		for (ssize_t i = 0; i < count; i++, got++)
			cr_assert_eq(bytes[i], byte(got));
		run(&scene, 2);
		cr_assert_neq(count, 0, "%zu of %zu bytes", got, size);
	}
	cr_expect_eq(recv(fd, &got, 1, 0), 0);
	cr_expect_eq(scene.room.flows, 1);
	close(fd);
	run_until_gone(&scene);
	tear_down(&scene);
}

/* No byte and no answer for five seconds, or somewhat more: then it is over. */
Test(mirror, is_not_waited_for_for_ever)
{
	struct scene scene;
	struct mirror *stuck, *silent;

	set_up(&scene, true);
	scene.config.tcp.send_buffer = 16 * KIB;
	stuck = made(&scene);
	give(stuck, 0, 250 * KIB);
	for (size_t more = 0; more < 8 && mirror_takes(stuck); more++)
		give(stuck, 250 * KIB, 1);
	mirror_end(stuck);
	mirror_leave(stuck);
	silent = made(&scene);
	mirror_end(silent);
	mirror_leave(silent);
	run(&scene, 1000);
	cr_expect_eq(scene.room.flows, 2);
	run_until_gone(&scene);
	/* The silent one has got everything. */
	cr_expect_eq(stats_get(&scene.stats.mirrors_lost[MIRROR_SLOW]), 1);
	tear_down(&scene);
}

Test(mirror, goes_with_its_worker)
{
	struct scene scene;
	struct mirror *mirror;
	int fd, err;

	set_up(&scene, true);
	mirror = made(&scene);
	give(mirror, 0, 1000);
	mirror_end(mirror);
	mirror_leave(mirror);
	made(&scene);
	run(&scene, 20);
	fd = accepted(&scene);
	tear_down(&scene);
	received(fd, &err);
	close(fd);
}
