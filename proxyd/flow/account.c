// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/account.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "flow/offer.h"
#include "flow/setup.h"
#include "flow/splicer.h"
#include "flow/worker.h"
#include "policy/limit.h"
#include "policy/upstream.h"

const char *account_listener(const struct flow *flow)
{
	if (flow->setup)
		return flow->setup->listener->name;
	return flow->limit ? limit_name(flow->limit) : "";
}

const char *account_upstream(const struct flow *flow)
{
	if (flow->endpoint)
		return upstream_name(endpoint_upstream(flow->endpoint));
	if (flow->setup && flow->setup->upstream)
		return upstream_name(flow->setup->upstream);
	return "";
}

/*
 * When a byte last moved, `now_ms` at the latest. proxyd sees none in the kernel lane, nor those
 * that TCP sends from a full buffer, slowly where it is paced; TCP knows. Of the direct lane that
 * knows.
 */
static uint64_t last_active_ms(const struct flow *flow, const struct offer_sight *direct,
			       uint64_t now_ms)
{
	uint64_t idle = now_ms;

	for (int side = DOWNSTREAM; side <= UPSTREAM; side++) {
		struct tcp_info info = {.tcpi_last_data_sent = UINT32_MAX,
					.tcpi_last_data_recv = UINT32_MAX};
		socklen_t size = sizeof(info);

		getsockopt(flow->fds[side], IPPROTO_TCP, TCP_INFO, &info, &size);
		if (info.tcpi_last_data_sent < idle)
			idle = info.tcpi_last_data_sent;
		if (info.tcpi_last_data_recv < idle)
			idle = info.tcpi_last_data_recv;
	}
	if (direct->active_ms >= now_ms) /* since this turn of the event loop began */
		return now_ms;
	return now_ms - idle > direct->active_ms ? now_ms - idle : direct->active_ms;
}

uint64_t account_last_active_ms(const struct flow *flow)
{
	struct offer_sight direct;

	offer_look(flow, &direct);
	return last_active_ms(flow, &direct, worker_now_ms());
}

static void count(const struct flow *flow, const struct offer_sight *direct,
		  uint64_t bytes[2][ACCOUNT_LANES])
{
	for (int d = SL_UP; d <= SL_DOWN; d++) {
		struct sl_ledger ledger = {.redirected = 0};

		if (flow->pair)
			splice_ledger(flow->pair, (enum sl_direction_index)d, &ledger);
		bytes[d][ACCOUNT_RELAY] = flow->directions[d].sent;
		bytes[d][ACCOUNT_KERNEL] = ledger.redirected;
		bytes[d][ACCOUNT_DIRECT] = direct->bytes[d];
	}
}

static enum account_offer offer_of(const struct flow *flow)
{
	if (!flow->worker->proxy->offers)
		return ACCOUNT_NO_LANE;
	if (flow->state < FLOW_OPEN)
		return ACCOUNT_AWAITED;
	switch ((enum offer_state)flow->offering) {
	case OFFER_AWAITED:
		return ACCOUNT_AWAITED;
	case OFFER_FAILED:
		return ACCOUNT_NO_ROOM;
	case OFFER_MADE:
		return ACCOUNT_OFFERED;
	default:
		return ACCOUNT_LIMITED;
	}
}

/* Messages of a direction go direct when its source's end is in the lane. */
static void find_lanes(const struct flow *flow, struct account *out)
{
	for (int d = SL_UP; d <= SL_DOWN; d++) {
		if (out->offer == ACCOUNT_OFFERED && out->reasons[d] == SL_REASON_NONE)
			out->lanes[d] = ACCOUNT_DIRECT;
		else
			out->lanes[d] = flow->directions[d].lane == SL_LANE_KERNEL ? ACCOUNT_KERNEL
										   : ACCOUNT_RELAY;
	}
}

void account_address(struct address *out, int fd, int (*ask)(int, struct sockaddr *, socklen_t *))
{
	out->length = sizeof(out->ipv6);
	if (ask(fd, &out->any, &out->length))
		out->length = 0;
}

static void find_addresses(const struct flow *flow, struct account *out)
{
	const struct setup *setup = flow->setup;
	int fd = flow->fds[UPSTREAM];

	out->client = flow->source;
	if (flow->endpoint)
		out->endpoint = *endpoint_address(flow->endpoint);
	else if (setup && setup->tried_count)
		out->endpoint = *endpoint_address(setup->tried[setup->tried_count - 1]);
	else if (setup && setup->route && setup->route->action == ROUTE_ORIGINAL)
		out->endpoint = setup->destination;
	if (fd < 0 || flow->state < FLOW_OPEN)
		return;
	account_address(&out->source, fd, getsockname);
	if (!out->endpoint.length)
		account_address(&out->endpoint, fd, getpeername);
}

static void describe(const struct flow *flow, const struct offer_sight *direct, struct account *out)
{
	*out = (struct account){
		.id = flow->id,
		.state = flow->state,
		.offer = (uint8_t)offer_of(flow),
	};
	count(flow, direct, out->bytes);
	find_addresses(flow, out);
	snprintf(out->listener, sizeof(out->listener), "%s", account_listener(flow));
	snprintf(out->upstream, sizeof(out->upstream), "%s", account_upstream(flow));
}

void account_close(const struct flow *flow, struct account *out)
{
	struct offer_sight direct;

	offer_look(flow, &direct);
	describe(flow, &direct, out);
}

void account_take(const struct flow *flow, struct account *out)
{
	uint64_t now_ms = worker_now_ms();
	struct offer_sight direct;

	offer_look(flow, &direct);
	describe(flow, &direct, out);
	memcpy(out->reasons, direct.reasons, sizeof(out->reasons));
	out->age_ms = now_ms - flow->born_ms;
	out->idle_ms = out->age_ms;
	if (flow->state == FLOW_OPEN || flow->state == FLOW_RESETTING)
		out->idle_ms = now_ms - last_active_ms(flow, &direct, now_ms);
	find_lanes(flow, out);
}
