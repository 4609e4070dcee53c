#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "address.h"
#include "plan.h"

struct options {
	struct address connect, listen;
	struct plan_rules rules;
	uint32_t first, connections; /* the flows' indexes */
	unsigned int concurrency;
	unsigned int threads; /* of each side */
	unsigned int timeout_ms;
	unsigned int blocking; /* percent of the ends that are so */
	bool reset_as_eof_ok;
	bool verbose;
};

/* Exits with status 2 on a bad command line, with 0 after --help. */
void options_parse(struct options *o, int argc, char **argv);
