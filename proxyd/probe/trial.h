/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_TRIAL_H
#define PROXYD_TRIAL_H

/*
 * A trial: a real proxy on loopback with one worker, and flows through it whose both ends are in
 * this thread, so that it can be told what the kernel does to them.
 */

#include "proxy.h"

struct trial {
	struct proxy *proxy;
	int backend; /* listening */
	uint16_t port;
};

/* The two ends of a flow. */
struct ends {
	int client;
	int server;
};

/* Returns 0, or -1 when the proxy could not be started, which it has then logged. */
int trial_start(struct trial *trial, enum lane_choice lane, bool stream_parser, size_t window);
void trial_stop(struct trial *trial);

/* Without a proxy: trial_connect() then reaches the backend directly. Returns 0 or -1. */
int trial_listen(struct trial *trial);

/* Connect a client through the proxy; without `accept` the server end is left to trial_accept(). */
int trial_connect(const struct trial *trial, struct ends *ends, bool accept);
int trial_accept(const struct trial *trial, struct ends *ends);
void trial_close(struct ends *ends);

/* Send `size` bytes of the trial's pattern from stream position `at`. Returns 0 or -1. */
int trial_send(int fd, size_t at, size_t size);

/* Read `size` bytes and compare them. Returns 0, or -1 when they are late, missing or wrong. */
int trial_expect(int fd, size_t at, size_t size);

/* Expect the end of the stream. Returns 0 or -1. */
int trial_expect_end(int fd);

/*
 * Send `size` bytes without blocking, from `from` to `to`; read only when the sender has been stuck
 * for a while, so that every buffer on the way is full. Returns 0 or -1.
 */
int trial_fill_and_drain(int from, int to, size_t size);

#endif
