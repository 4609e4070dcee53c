// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/record.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "control/access_log.h"
#include "flow/account.h"
#include "flow/worker.h"

void record_begin(struct flow *flow)
{
	if (!access_log_wants(flow->worker->proxy->access_log))
		return;
	flow->record = calloc(1, sizeof(*flow->record));
	if (flow->record)
		flow->record->accepted_us = worker_now_us();
}

void record_connect(struct flow *flow)
{
	if (flow->record && !flow->record->connect_us)
		flow->record->connect_us = worker_now_us();
}

/* The sockets of a flow that was reset cannot be asked any more. */
void record_opened(struct flow *flow)
{
	struct record *record = flow->record;

	if (!record)
		return;
	record->opened_us = worker_now_us();
	record->detail = NULL;
	account_address(&record->source, flow->fds[UPSTREAM], getsockname);
	account_address(&record->endpoint, flow->fds[UPSTREAM], getpeername);
}

void record_end(struct flow *flow)
{
	struct record *record = flow->record;
	struct access_entry entry = {.ended_by = flow->ended_by, .fault = flow->fault};

	if (!record)
		return;
	account_close(flow, &entry.account);
	clock_gettime(CLOCK_REALTIME, &entry.time);
	entry.duration_us = worker_now_us() - record->accepted_us;
	entry.opened = record->opened_us != 0;
	if (entry.opened) {
		entry.connect_us = record->opened_us - record->connect_us;
		entry.account.endpoint = record->endpoint;
		entry.account.source = record->source;
	}
	entry.detail = record->detail;
	access_log_put(flow->worker->proxy->access_log, &entry);
	free(record);
	flow->record = NULL;
}
