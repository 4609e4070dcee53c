// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flow/look.h"

#include <stdlib.h>
#include <string.h>

struct look *look_new(void)
{
	struct look *look = calloc(1, sizeof(*look));

	if (!look)
		return NULL;
	atomic_init(&look->references, 1);
	sem_init(&look->done, 0, 0);
	return look;
}

struct look *look_ref(struct look *look)
{
	atomic_fetch_add(&look->references, 1);
	return look;
}

void look_unref(struct look *look)
{
	if (!look || atomic_fetch_sub(&look->references, 1) != 1)
		return;
	sem_destroy(&look->done);
	free(look);
}

static bool wanted(const struct look *look, const struct flow *flow)
{
	return (!*look->listener || !strcmp(look->listener, account_listener(flow))) &&
	       (!*look->upstream || !strcmp(look->upstream, account_upstream(flow)));
}

void look_fill(struct look *look, const struct roll *flows)
{
	const struct flow *flow = NULL;

	for (int i = 0; look->count < LOOK_FLOWS && i < LOOK_PASSED; i++) {
		flow = roll_next(flows, &look->place);
		if (!flow)
			break;
		if (wanted(look, flow))
			account_take(flow, &look->accounts[look->count++]);
		look->place++;
	}
	look->ended = !flow;
}
