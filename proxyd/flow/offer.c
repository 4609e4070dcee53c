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

	if (!flow->may_offer)
		return;
	flow->may_offer = false;
	offer = malloc(sizeof(*offer));
	if (!offer)
		return;
	for (int side = DOWNSTREAM; side <= UPSTREAM; side++)
		offer->cookies[side] = splicer_cookie(flow->fds[side]);
	if (offers_add(flow->worker->proxy->offers, offer->cookies, flow->header_added))
		free(offer);
	else
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

uint64_t offer_active_ms(const struct flow *flow)
{
	return flow->offer ? offers_active_ms(flow->worker->proxy->offers, flow->offer->cookies)
			   : 0;
}
