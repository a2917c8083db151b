// SPDX-License-Identifier: Apache-2.0
#include "bytes.h"

#include "../base/base.h"

#include <errno.h>
#include <unistd.h>

// Entries are mostly asked for one after the other, then more is read each time; where they jump
// about, most of a large read would be for nothing.
#define FILL_FIRST 4096u
#define FILL_MAX (32u << 10)

void bytes_open(struct bytes *b, int fd, const void *image, uint64_t base, uint64_t size)
{
	*b = (struct bytes){.fd = fd, .base = base, .size = size, .fill = FILL_FIRST};
	if (image) {
		b->data = (const uint8_t *)image + base;
		b->have = (uint32_t)size;
	}
}

void bytes_close(struct bytes *b)
{
	mem_free(b->buffer);
	*b = (struct bytes){.fd = -1};
}

static const uint8_t *failed(struct bytes *b, int error)
{
	b->error = error;
	return NULL;
}

static int read_all(struct bytes *b, uint64_t offset, uint32_t n)
{
	for (uint32_t done = 0; done < n;) {
		ssize_t got =
		    pread(b->fd, b->buffer + done, n - done, (off_t)(b->base + offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EBADMSG; // the file shrank
		done += (uint32_t)got;
	}
	return 0;
}

const uint8_t *bytes_read(struct bytes *b, uint64_t offset, uint32_t n)
{
	if (offset > b->size || n > b->size - offset || n > BYTES_MAX)
		return failed(b, -EBADMSG);
	bool goes_on = offset >= b->at && offset <= b->at + b->have;
	uint32_t fill = goes_on ? b->fill * 2 : FILL_FIRST;
	b->fill = fill < FILL_MAX ? fill : FILL_MAX;
	uint32_t want = b->fill > n ? b->fill : n;
	if (want > b->size - offset)
		want = (uint32_t)(b->size - offset);
	b->have = 0;
	if (want > b->cap) {
		uint8_t *more = mem_resize(ACCOUNT_UNWIND, b->buffer, want);
		if (!more)
			return failed(b, -ENOMEM);
		b->data = b->buffer = more;
		b->cap = want;
	}
	int error = read_all(b, offset, want);
	if (error)
		return failed(b, error);
	b->at = offset;
	b->have = want;
	return b->data;
}

uint64_t cursor_uleb_long(struct cursor *c)
{
	uint64_t value = 0;
	for (unsigned shift = 0; c->at < c->end; shift += 7) {
		uint64_t bits = *c->at & 0x7f;
		// Zeros that fill up are allowed as far as they go; more than 64 bits are not.
		if (shift >= 64 ? bits != 0 : bits << shift >> shift != bits)
			break;
		if (shift < 64)
			value |= bits << shift;
		if (*c->at++ < 0x80)
			return value;
	}
	c->at = c->end;
	c->bad = true;
	return 0;
}

int64_t cursor_sleb(struct cursor *c)
{
	uint64_t value = 0;
	for (unsigned shift = 0; c->at < c->end && shift < 64; shift += 7) {
		uint8_t byte = *c->at++;
		if (shift == 63 && byte != 0 && byte != 0x7f)
			break; // the last bit and its sign only
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte >= 0x80)
			continue;
		if (byte & 0x40 && shift + 7 < 64)
			value |= ~0ull << (shift + 7);
		return (int64_t)value;
	}
	c->at = c->end;
	c->bad = true;
	return 0;
}
