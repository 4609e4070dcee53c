// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Workers that share a listener's bandwidth, under ThreadSanitizer. */
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "flow/bandwidth.h"

#define WORKERS 4
#define FLOWS   5 /* of each */
#define RATE    (100 * 1000 * 1000ULL)
#define LAST_US 500000

struct worker {
	struct bandwidth *bandwidth;
	pthread_t thread;
	uint64_t bytes;
	uint64_t end_us;
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void *work(void *user)
{
	struct worker *worker = user;
	struct share *shares[FLOWS];

	for (int i = 0; i < FLOWS; i++)
		if (share_new(worker->bandwidth, &shares[i]))
			return NULL;
	while (now_us() < worker->end_us) {
		for (int i = 0; i < FLOWS; i++) {
			uint64_t at;
			uint32_t room = share_ask(shares[i], 0, UINT32_MAX, now_us(), &at);

			if (room)
				share_took(shares[i], 0, room, true);
			worker->bytes += room;
		}
		usleep(500);
	}
	for (int i = 0; i < FLOWS; i++)
		share_free(shares[i]);
	return NULL;
}

/* Returns the bytes that all of them took in LAST_US. */
static uint64_t run(struct bandwidth *bandwidth, uint64_t other_rate)
{
	struct worker workers[WORKERS];
	/* One end for all of them, however long it takes to begin. */
	uint64_t bytes = 0, end_us = now_us() + LAST_US;

	for (int i = 0; i < WORKERS; i++) {
		workers[i] =
			(struct worker){.bandwidth = bandwidth_ref(bandwidth), .end_us = end_us};
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			return 0;
	}
	for (int i = 0; i < 50; i++) {
		bandwidth_set_rate(bandwidth, i % 2 ? RATE : other_rate);
		usleep(LAST_US / 100);
	}
	for (int i = 0; i < WORKERS; i++) {
		pthread_join(workers[i].thread, NULL);
		bytes += workers[i].bytes;
		bandwidth_unref(bandwidth);
	}
	return bytes;
}

int main(void)
{
	const uint64_t expected = RATE / 1000000 * LAST_US;
	struct bandwidth *bandwidth;
	unsigned int tries = 20;
	uint64_t bytes;

	if (bandwidth_new(RATE, &bandwidth))
		return 1;
	/* 20 ms more at the beginning; less, when the machine is busy, but not each time. */
	do {
		bytes = run(bandwidth, RATE);
		printf("%lu of %lu bytes\n", (unsigned long)bytes, (unsigned long)expected);
		if (bytes > expected + expected / 20 + 20 * RATE / 1000)
			return 1;
	} while (bytes < expected / 10 && --tries);
	if (!tries)
		return 1;
	run(bandwidth, RATE / 1000);
	bandwidth_unref(bandwidth);
	return 0;
}
