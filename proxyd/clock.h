/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef PROXYD_CLOCK_H
#define PROXYD_CLOCK_H

#include <event2/event.h>
#include <stdint.h>

/* The monotonic clock in ms, to a tick of the kernel. */
uint64_t clock_ms(void);

/* Have a timer expire once, `milliseconds` from now; one that is pending is put off or forward. */
void clock_arm(struct event *timer, uint64_t milliseconds);

/* A random number from 0 to `most`, to spread in time what would otherwise happen at once. */
uint64_t clock_spread(uint64_t most);

#endif
