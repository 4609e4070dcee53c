// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "unit/stage.h"

#include <bpf/bpf.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "probe/capabilities.h"
#include "unit/need.h"
#include "unit/seed.h"

#define POLL_US 2000

void stage_settings(struct settings *settings)
{
	struct address *listen = &settings->listen.items[0];

	settings_init(settings);
	settings->lane = STAGE_LANE;
	settings->workers = 1;
	settings->window = 256 * 1024;
	settings->probe = false;
#ifdef STAGE_SWITCH_LANES
	settings->switch_lanes = true;
	settings->switch_seed = seeded("lanes switched at random").state;
#endif
	settings->listen.count = 1;
	listen->length = sizeof(listen->ipv4);
	listen->ipv4.sin_family = AF_INET;
	listen->ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static struct address *next_endpoint(struct settings *settings)
{
	struct address *endpoint = &settings->upstream.items[settings->upstream.count++];

	*endpoint = settings->listen.items[0];
	return endpoint;
}

/* Bind it; the endpoint takes the port. */
static int bound(struct address *endpoint)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);

	cr_assert_eq(bind(fd, &endpoint->any, endpoint->length), 0);
	cr_assert_eq(getsockname(fd, &endpoint->any, &endpoint->length), 0);
	return fd;
}

int stage_add_endpoint(struct settings *settings)
{
	int fd = bound(next_endpoint(settings));

	cr_assert_eq(listen(fd, 16), 0);
	return fd;
}

void stage_add_refusing(struct settings *settings)
{
	/* Bound, so that nobody else takes the port, but not listening. */
	bound(next_endpoint(settings));
}

void stage_add_unreachable(struct settings *settings)
{
	struct address *endpoint = next_endpoint(settings);

	endpoint->ipv4.sin_addr.s_addr = htonl(INADDR_ALLHOSTS_GROUP);
	endpoint->ipv4.sin_port = htons((uint16_t)(1 + settings->upstream.count));
}

int stage_add_silent(struct settings *settings)
{
	struct address *endpoint = next_endpoint(settings);
	int fd = bound(endpoint);

	cr_assert_eq(listen(fd, 0), 0);
	for (int i = 0; i < 4; i++) {
		int filler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

		connect(filler, &endpoint->any, endpoint->length);
	}
	return fd;
}

static void check_lane(const struct settings *settings)
{
	char missing[128];

	if (settings->lane != LANE_RELAY && capabilities_missing(missing, sizeof(missing)))
		skip_test("missing %s", missing);
}

void stage_start(struct trial *stage, const struct settings *settings, int backend)
{
	*stage = (struct trial){.backend = backend};
	check_lane(settings);
	evthread_use_pthreads();
	signal(SIGPIPE, SIG_IGN);
	cr_assert_eq(proxy_new(settings, &stage->proxy), 0);
	cr_assert_eq(proxy_open_kernel_lane(stage->proxy), 0);
	cr_assert_eq(proxy_listen(stage->proxy, &stage->port), 0);
	cr_assert_eq(proxy_start(stage->proxy, NULL, NULL), 0);
}

void stage_open(struct trial *stage)
{
	struct settings settings;
	int backend;

	stage_settings(&settings);
	backend = stage_add_endpoint(&settings);
	stage_start(stage, &settings, backend);
}

void stage_close(struct trial *stage)
{
	cr_expect(stage_wait(&stage_stats(stage)->flows_active, 0, 20000), "%lu flows are left",
		  stage_stats(stage)->flows_active);
	trial_stop(stage);
	libevent_global_shutdown();
}

struct stats *stage_stats(const struct trial *stage)
{
	return &stage->proxy->shared.workers[0]->stats;
}

uint64_t stage_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool stage_wait(counter *value, uint64_t expected, unsigned int milliseconds)
{
	uint64_t end = stage_now_ms() + milliseconds;

	while (stats_get(value) != expected) {
		if (stage_now_ms() > end)
			return false;
		usleep(POLL_US);
	}
	return true;
}

uint64_t stage_kernel_bytes(const struct trial *stage)
{
	struct sl_totals totals = {0};

	if (stage->proxy->shared.kernel_lane)
		cr_assert_eq(kernel_lane_totals(stage->proxy->shared.kernel_lane, &totals), 0);
	return totals.bytes[SL_UP] + totals.bytes[SL_DOWN];
}

uint64_t stage_relay_bytes(const struct trial *stage)
{
	return stats_get(&stage_stats(stage)->relayed[SL_UP]) +
	       stats_get(&stage_stats(stage)->relayed[SL_DOWN]);
}

unsigned int stage_ledgers(const struct trial *stage)
{
	const struct kernel_lane *lane = stage->proxy->shared.kernel_lane;
	uint64_t cookie, next;
	unsigned int count = 0;

	for (int err = lane ? bpf_map_get_next_key(lane->ledgers, NULL, &next) : -1; !err;
	     err = bpf_map_get_next_key(lane->ledgers, &cookie, &next)) {
		cookie = next;
		count++;
	}
	return count;
}

void stage_reset(int *fd)
{
	const struct linger hard = {.l_onoff = 1};

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(*fd);
	*fd = -1;
}

bool stage_was_reset(int fd)
{
	char byte;

	return recv(fd, &byte, 1, 0) < 0 && errno == ECONNRESET;
}
