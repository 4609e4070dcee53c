#pragma once

#include "plan.h"
#include "rng.h"

struct builder {
	struct plan *plan;
	struct rng rng;
	double scale;
};

struct kind {
	const char *name;
	unsigned int weight; /* its share of the flows */
	enum opener opener;
	bool vanishes;
	void (*build)(struct builder *b);
};

/* In alphabetical order. */
extern const struct kind kinds[];
extern const unsigned int kind_count;
