#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum side {
	CLIENT,
	SERVER
};

static inline enum side other(enum side side)
{
	return side == CLIENT ? SERVER : CLIENT;
}

/* How a stream of bytes says whose it is: the first speaker's stream begins with it. */
#define ID_LEN 16

/*
 * The bytes that one side of one flow sends. Each is a function of (seed, flow, side, offset), so
 * neither end remembers anything and a shift, a repeat or another flow's bytes always show.
 */
struct stream {
	uint64_t key;
	unsigned char id[ID_LEN];
	size_t id_len; /* 0 or ID_LEN */
};

void stream_init(struct stream *s, uint64_t seed, uint32_t index, enum side from, bool with_id);
void stream_fill(const struct stream *s, uint64_t offset, void *buf, size_t len);

/* The index that an id names, or -1 when it is no id of this seed. */
int64_t stream_parse_id(uint64_t seed, const unsigned char id[ID_LEN]);

/* Where some bytes were taken from. */
struct origin {
	uint32_t index;
	bool is_id; /* then the rest does not matter */
	enum side from;
	uint64_t offset;
};

/* Search the streams of flows [first, first + count) for the bytes in buf; own is tried first. */
bool stream_locate(uint64_t seed, uint32_t first, uint32_t count, uint32_t own,
		   const unsigned char *buf, size_t len, struct origin *out);
