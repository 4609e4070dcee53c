#pragma once

#include <criterion/criterion.h>

#include "policy/cidr.h"

/* What is written so, "ADDRESS:PORT", or the test ends; for "" no address, of length 0. */
static inline struct address address_of(const char *text)
{
	struct address address = {.length = 0};
	const char *why = "";

	cr_assert(!*text || !address_parse(text, &address, &why), "'%s': %s", text, why);
	return address;
}

/* The same of a range, "ADDRESS/PREFIX". */
static inline struct cidr cidr_of(const char *text)
{
	struct cidr cidr = {0};
	const char *why = "";

	cr_assert_eq(cidr_parse(text, &cidr, &why), 0, "'%s': %s", text, why);
	return cidr;
}
