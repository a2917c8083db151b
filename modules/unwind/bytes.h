// SPDX-License-Identifier: Apache-2.0
// A part of a file (or of an image in memory) through a small buffer, and what is written in it:
// numbers of fixed size and LEB128 (DWARF 5, 7.6).
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define BYTES_MAX (64u << 10) // that can be had at once

// data[0 .. have) is what lies at `at` in the part; of an image it is all of the part.
struct bytes {
	const uint8_t *data;
	uint64_t at, size;
	uint32_t have;
	uint32_t fill, cap; // how much is read at once now, what the buffer holds
	uint8_t *buffer;
	uint64_t base; // of the part, in the file
	int fd;
	int error;
};

// SIZE bytes at BASE of FD, or where IMAGE is not NULL of IMAGE (then below 4 GiB), in which they
// lie; both are borrowed. No memory is taken before the first bytes are asked for.
void bytes_open(struct bytes *b, int fd, const void *image, uint64_t base, uint64_t size);
void bytes_close(struct bytes *b);
// N bytes (at most BYTES_MAX) at OFFSET of the part, valid until the next call; NULL where they do
// not lie in it (error: -EBADMSG) or cannot be had (error: -errno).
const uint8_t *bytes_read(struct bytes *b, uint64_t offset, uint32_t n);
static inline const uint8_t *bytes_get(struct bytes *b, uint64_t offset, uint32_t n)
{
	uint64_t behind = offset - b->at;
	if (offset >= b->at && behind <= b->have && n <= b->have - behind)
		return b->data + behind;
	return bytes_read(b, offset, n);
}

// Reads on from `at`; what is not there or does not fit 64 bits is 0 and sets `bad`.
struct cursor {
	const uint8_t *at, *end;
	bool bad;
};
static inline uint64_t cursor_fixed(struct cursor *c, unsigned n) // little endian, 1 to 8 bytes
{
	uint64_t value = 0;
	if ((uint64_t)(c->end - c->at) < n)
		return c->bad = true, c->at = c->end, 0;
	memcpy(&value, c->at, n);
	c->at += n;
	return value;
}
uint64_t cursor_uleb_long(struct cursor *c);
static inline uint64_t cursor_uleb(struct cursor *c)
{
	return c->at < c->end && *c->at < 0x80 ? *c->at++ : cursor_uleb_long(c);
}
int64_t cursor_sleb(struct cursor *c);
// The next N bytes as a cursor of their own.
static inline struct cursor cursor_cut(struct cursor *c, uint64_t n)
{
	if ((uint64_t)(c->end - c->at) < n)
		return c->bad = true, c->at = c->end, (struct cursor){.bad = true};
	c->at += n;
	return (struct cursor){.at = c->at - n, .end = c->at};
}
