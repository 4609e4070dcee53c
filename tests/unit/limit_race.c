// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Threads in one limit, under ThreadSanitizer, which Criterion's processes do not get on with. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>

#include "policy/limit.h"
#include "unit/update.h"

#define THREADS 4
#define ROUNDS  20000

struct visitor {
	struct limit *limit;
	unsigned int sources;
	pthread_t thread;
};

static void *come_and_go(void *user)
{
	const struct visitor *visitor = user;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		struct address source = {.length = sizeof(source.ipv4)};

		source.ipv4.sin_family = AF_INET;
		source.ipv4.sin_addr.s_addr = htonl(0x0a000000 + i % visitor->sources);
		if (limit_admit(visitor->limit, &source, 1000 + i / 100) == LIMIT_ADMITTED)
			limit_release(visitor->limit, &source);
		else
			limit_turned_away(visitor->limit, LIMIT_FLOWS);
		if (i % 1000 == 0)
			json_decref(limit_json(visitor->limit));
	}
	return NULL;
}

int main(void)
{
	const struct config_listener config = {.limits = {.max_flows = 3,
							  .max_flows_per_source = 2,
							  .rate_per_source = 1000,
							  .rate_burst = 5}};
	struct visitor visitors[THREADS];
	struct limit *limit;

	if (limit_new(&config, &limit))
		return 1;
	for (unsigned int i = 0; i < THREADS; i++) {
		visitors[i] = (struct visitor){.limit = limit_ref(limit), .sources = 7 + 3000 * i};
		if (pthread_create(&visitors[i].thread, NULL, come_and_go, &visitors[i]))
			return 1;
	}
	for (int i = 0; i < 200; i++)
		limit_update(limit, &config);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(visitors[i].thread, NULL);
		limit_unref(visitors[i].limit);
	}
	limit_unref(limit);
	return 0;
}
