// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "unit/inspection.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/corpus.h"

bool inspection_same(const struct inspected *one, const struct inspected *other)
{
	return one->protocol == other->protocol && !strcmp(one->sni, other->sni) &&
	       !strcmp(one->host, other->host) && one->alpn_size == other->alpn_size &&
	       !memcmp(one->alpn, other->alpn, one->alpn_size);
}

/* An answer to a prefix holds for all that begins so; MORE is followed by an answer, never by less.
 */
enum inspect_result inspection_of(const char *what, const uint8_t *bytes, size_t size,
				  struct inspected *out)
{
	enum inspect_result result = INSPECT_MORE;
	struct inspected first;

	for (size_t length = 0; length <= size; length++) {
		struct corpus_file prefix = corpus_prefix(bytes, length);
		struct inspected final;
		enum inspect_result now;

		memset(out, 0x5a, sizeof(*out));
		memset(&final, 0xa5, sizeof(final));
		now = inspect(prefix.bytes, length, false, out);
		cr_assert_eq(inspect(prefix.bytes, length, true, &final), INSPECT_DONE);
		cr_assert(now == INSPECT_DONE || result == INSPECT_MORE,
			  "%s: an answer to %zu bytes, none to %zu", what, length - 1, length);
		if (result == INSPECT_MORE)
			first = *out;
		else
			cr_assert(inspection_same(out, &first), "%s: another answer to %zu bytes",
				  what, length);
		cr_assert(now == INSPECT_MORE || inspection_same(out, &final),
			  "%s: another final answer to %zu bytes", what, length);
		result = now;
		*out = final;
		free(prefix.bytes);
	}
	return result;
}

/* "h2,http/1.1" of the extension's form. */
static void list_alpn(const struct inspected *inspected, char *text, size_t room)
{
	size_t used = 0;

	text[0] = '\0';
	for (size_t at = 0; at < inspected->alpn_size; at += 1 + inspected->alpn[at])
		used += (size_t)snprintf(text + used, room - used, "%s%.*s", used ? "," : "",
					 inspected->alpn[at],
					 (const char *)inspected->alpn + at + 1);
}

void inspection_expect(const char *folder, const struct inspection *answers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct inspection *answer = &answers[i];
		struct corpus_file file = corpus_load(folder, answer->file);
		char alpn[2 * INSPECT_ALPN_MAX];
		struct inspected inspected;

		cr_expect_eq(inspection_of(answer->file, file.bytes, file.size, &inspected),
			     answer->result, "%s: %s", answer->file,
			     answer->result == INSPECT_MORE ? "asked for no more"
							    : "asked for more");
		list_alpn(&inspected, alpn, sizeof(alpn));
		cr_expect_eq(inspected.protocol, answer->protocol, "%s: protocol %d", answer->file,
			     inspected.protocol);
		cr_expect_str_eq(inspected.sni, answer->sni ? answer->sni : "", "%s: '%s'",
				 answer->file, inspected.sni);
		cr_expect_str_eq(inspected.host, answer->host ? answer->host : "", "%s: '%s'",
				 answer->file, inspected.host);
		cr_expect_str_eq(alpn, answer->alpn ? answer->alpn : "", "%s: '%s'", answer->file,
				 alpn);
		free(file.bytes);
	}
	corpus_expect_count(folder, count);
}
