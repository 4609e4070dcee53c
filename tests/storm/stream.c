#include "stream.h"

#include <string.h>

#include "rng.h"

#define ID_MAGIC  0x6d726f74u /* "torm" */
#define WORD      sizeof(uint64_t)
#define MAX_WORDS (1ULL << 32) /* no flow sends more than 32 GiB */

static uint64_t stream_key(uint64_t seed, uint32_t index, enum side from)
{
	return mix64(mix64(seed) + ((uint64_t)index * 2 + from) * GOLDEN);
}

static uint64_t id_check(uint64_t seed, uint32_t index)
{
	return mix64(seed ^ mix64(index + GOLDEN));
}

void stream_init(struct stream *s, uint64_t seed, uint32_t index, enum side from, bool with_id)
{
	uint32_t magic = ID_MAGIC;
	uint64_t check = id_check(seed, index);

	s->key = stream_key(seed, index, from);
	s->id_len = with_id ? ID_LEN : 0;
	memcpy(s->id, &magic, 4);
	memcpy(s->id + 4, &index, 4);
	memcpy(s->id + 8, &check, 8);
}

int64_t stream_parse_id(uint64_t seed, const unsigned char id[ID_LEN])
{
	uint32_t magic, index;
	uint64_t check;

	memcpy(&magic, id, 4);
	memcpy(&index, id + 4, 4);
	memcpy(&check, id + 8, 8);
	if (magic != ID_MAGIC || check != id_check(seed, index))
		return -1;
	return index;
}

static uint64_t word_at(const struct stream *s, uint64_t number)
{
	return mix64(s->key + number * GOLDEN);
}

void stream_fill(const struct stream *s, uint64_t offset, void *buf, size_t len)
{
	unsigned char *p = buf, *end = p + len;

	while (p < end && offset < s->id_len)
		*p++ = s->id[offset++];
	while (p < end) {
		uint64_t word = word_at(s, offset / WORD);
		size_t skip = offset % WORD;
		size_t n = WORD - skip;

		if (n > (size_t)(end - p))
			n = (size_t)(end - p);
		if (n == WORD)
			memcpy(p, &word, WORD);
		else
			memcpy(p, (unsigned char *)&word + skip, n);
		p += n;
		offset += n;
	}
}

static bool is_from(uint64_t seed, uint32_t index, enum side from, uint64_t counter,
		    uint64_t *number)
{
	*number = (counter - stream_key(seed, index, from)) * GOLDEN_INVERSE;
	return *number < MAX_WORDS;
}

static bool locate_word(uint64_t seed, uint32_t first, uint32_t count, uint64_t word,
			struct origin *out)
{
	uint64_t counter = unmix64(word), number;

	for (uint32_t i = first; i - first < count; i++) {
		for (enum side from = CLIENT; from <= SERVER; from++) {
			if (is_from(seed, i, from, counter, &number)) {
				*out = (struct origin){i, false, from, number * WORD};
				return true;
			}
		}
	}
	return false;
}

bool stream_locate(uint64_t seed, uint32_t first, uint32_t count, uint32_t own,
		   const unsigned char *buf, size_t len, struct origin *out)
{
	int64_t named = len >= ID_LEN ? stream_parse_id(seed, buf) : -1;

	if (named >= 0) {
		*out = (struct origin){.index = (uint32_t)named, .is_id = true};
		return true;
	}
	/* The words' alignment in buf is unknown: one of eight starts hits it. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < WORD && i + WORD <= len; i++) {
			uint64_t word;

			memcpy(&word, buf + i, WORD);
			if (!locate_word(seed, pass ? first : own, pass ? count : 1, word, out))
				continue;
			/* A word's middle may be cut off before buf: then the start lies before. */
			out->offset = out->offset >= i ? out->offset - i : 0;
			return true;
		}
	}
	return false;
}
