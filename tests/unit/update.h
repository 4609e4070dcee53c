#pragma once

/* A new config for what a plan shares with the one before, prepared and followed at once. */

#include "policy/limit.h"
#include "policy/upstream.h"

static inline int upstream_update(struct upstream *upstream, const struct config_upstream *config,
				  uint64_t now_ms)
{
	struct upstream_draft *draft;
	int err = upstream_draft_new(upstream, config, &draft);

	if (!err)
		upstream_follow(upstream, draft, now_ms);
	return err;
}

static inline int limit_update(struct limit *limit, const struct config_listener *config)
{
	struct limit_rules *rules;
	int err = limit_rules_new(config, &rules);

	if (!err)
		limit_follow(limit, rules);
	return err;
}
