#pragma once

#include "intake/inspect.h"

/* What inspect() has to say of a file of the corpus. */
struct inspection {
	const char *file;
	enum inspect_result result; /* not final */
	enum protocol protocol;     /* and what is known when no more comes */
	const char *sni;            /* NULL: none */
	const char *host;
	const char *alpn; /* "h2,http/1.1" */
};

/* Each answer, and that it does not depend on how the bytes came in. */
void inspection_expect(const char *folder, const struct inspection *answers, size_t count);

/* inspect() on some bytes, in each prefix of which it has to agree with itself. */
enum inspect_result inspection_of(const char *what, const uint8_t *bytes, size_t size,
				  struct inspected *out);

/* Whether both say the same. */
bool inspection_same(const struct inspected *one, const struct inspected *other);
