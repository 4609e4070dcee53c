#pragma once

/*
 * A stage for tests of flows: a real proxy with one worker in this process, as in probe/trial.h,
 * but with settings and upstream endpoints of the test's choice. STAGE_LANE says which lane it
 * uses.
 */

#include <stdbool.h>
#include <stdint.h>

#include "probe/trial.h"

/* The settings that all tests begin with: no upstream endpoint yet. */
void stage_settings(struct settings *settings);

/* A listening socket that becomes the next upstream endpoint. */
int stage_add_endpoint(struct settings *settings);

/* An upstream endpoint where nobody listens. */
void stage_add_refusing(struct settings *settings);

/* A multicast address, to which connect() fails with ENETUNREACH before it has sent anything. */
void stage_add_unreachable(struct settings *settings);

/*
 * An upstream endpoint that does not answer: a listening socket whose backlog is full. Returns its
 * descriptor; what fills the backlog goes when the process does.
 */
int stage_add_silent(struct settings *settings);

/*
 * Start the proxy; ends as skipped where it cannot have its lane. Connections are accepted from
 * `backend` (see trial_connect()), which may be -1.
 */
void stage_start(struct trial *stage, const struct settings *settings, int backend);

/* The usual: all of the above with one endpoint. */
void stage_open(struct trial *stage);

/* Stops the proxy. No flow may be left, unless the test has said so by ending them itself. */
void stage_close(struct trial *stage);

struct stats *stage_stats(const struct trial *stage);

/* Wait until a counter has that value. Returns whether it had it in time. */
bool stage_wait(counter *value, uint64_t expected, unsigned int milliseconds);

uint64_t stage_now_ms(void);

/* Bytes that crossed, by lane. */
uint64_t stage_kernel_bytes(const struct trial *stage);
uint64_t stage_relay_bytes(const struct trial *stage);

/* Sockets that the kernel lane keeps a ledger for. */
unsigned int stage_ledgers(const struct trial *stage);

/* Abort a connection: a RST instead of a FIN. */
void stage_reset(int *fd);

/* The next recv() fails with ECONNRESET, within a few seconds. */
bool stage_was_reset(int fd);
