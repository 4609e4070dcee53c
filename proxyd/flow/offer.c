// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/offer.h"

#include <stdlib.h>

#include "direct/offers.h"
#include "flow/splicer.h"
#include "flow/worker.h"

struct offer {
	uint64_t cookies[2];
};

bool offer_allowed(const struct flow *flow, uint64_t bandwidth)
{
	const struct direction *up = &flow->directions[SL_UP], *down = &flow->directions[SL_DOWN];

	return flow->worker->proxy->offers && !bandwidth && !up->relay_only && !down->relay_only;
}

void offer_make(struct flow *flow)
{
	struct offer *offer;

	if (flow->offering != OFFER_AWAITED)
		return;
	flow->offering = OFFER_FAILED;
	offer = malloc(sizeof(*offer));
	if (!offer)
		return;
	for (int side = DOWNSTREAM; side <= UPSTREAM; side++)
		offer->cookies[side] = splicer_cookie(flow->fds[side]);
	if (offers_add(flow->worker->proxy->offers, offer->cookies, flow->header_added)) {
		free(offer);
		return;
	}
	flow->offering = OFFER_MADE;
	flow->offer = offer;
}

void offer_withdraw(struct flow *flow)
{
	if (!flow->offer)
		return;
	offers_remove(flow->worker->proxy->offers, flow->offer->cookies);
	free(flow->offer);
	flow->offer = NULL;
}

void offer_look(const struct flow *flow, struct offer_sight *out)
{
	*out = (struct offer_sight){0};
	for (int side = DOWNSTREAM; flow->offer && side <= UPSTREAM; side++) {
		struct sl_offer offer;

		if (offers_look(flow->worker->proxy->offers, flow->offer->cookies[side], &offer))
			continue;
		if (offer.active_ns / 1000000 > out->active_ms)
			out->active_ms = offer.active_ns / 1000000;
		out->bytes[side] = offer.bytes;
		out->reasons[side] = (uint8_t)offer.reason;
	}
}
