// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* proxy_header_parse() on anything: of one mind, and what it reads can be written and read again.
 */
#include "fuzz/prefixes.h"
#include "intake/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int same(const struct proxy_header *one, const struct proxy_header *other)
{
	return one->size == other->size &&
	       !memcmp(&one->source, &other->source, sizeof(one->source)) &&
	       !memcmp(&one->destination, &other->destination, sizeof(one->destination));
}

static void check_again(const struct proxy_header *header, unsigned int version)
{
	uint8_t once[PROXY_HEADER_WRITTEN_MAX], twice[PROXY_HEADER_WRITTEN_MAX];
	size_t size = proxy_header_write(version, &header->source, &header->destination, once);
	struct proxy_header again;

	require(size <= PROXY_HEADER_WRITTEN_MAX);
	require(proxy_header_parse(once, size, &again) == PARSE_DONE);
	require(again.size == size);
	require((again.source.length > 0) == (header->source.length > 0));
	require(proxy_header_write(version, &again.source, &again.destination, twice) == size);
	require(!memcmp(once, twice, size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum parse_result before = PARSE_MORE;
	struct proxy_header first = {0}, now;

	for (size_t length = 0; length <= size; length = prefix_after(length, data, size)) {
		uint8_t *prefix = prefix_copy(data, length);
		enum parse_result result = proxy_header_parse(prefix, length, &now);

		require(before == PARSE_MORE || result == before);
		if (result == PARSE_DONE) {
			require(now.size <= length && now.size <= PROXY_HEADER_MAX);
			require(!now.source.length == !now.destination.length);
			require(before == PARSE_MORE || same(&now, &first));
			first = now;
		}
		before = result;
		free(prefix);
	}
	if (before == PARSE_DONE) {
		check_again(&first, 1);
		check_again(&first, 2);
	}
	return 0;
}
