// SPDX-License-Identifier: Apache-2.0
#include "local.h"
#include "../base/base.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define ENDED 1
#define FRAME_SIZE_MAX (TAPE_HEAD_SIZE + TAPE_FRAME_MAX)

// buffer  [ given before | begin ... frames ... end | room ]
struct tape_reader {
	int fd;
	bool ended; // the file
	int over;   // 0: goes on; ENDED, -ENODATA or -EBADMSG: how it ended, answered from then on
	uint64_t frames;
	uint32_t begin, end, size;
	uint8_t *buffer; // grows to the longest frame, which is bounded
};

// At least NEED bytes from `begin` on. 1, 0 where the file ends before, -errno.
static int fill(struct tape_reader *r, uint32_t need)
{
	if (r->end - r->begin >= need)
		return 1;
	memmove(r->buffer, r->buffer + r->begin, r->end - r->begin);
	r->end -= r->begin;
	r->begin = 0;
	while (r->end < need && !r->ended) {
		// Twice as much only when the bytes so far have come: a size that lies costs
		// nothing.
		if (r->end == r->size) {
			uint32_t size = r->size < FRAME_SIZE_MAX / 2 ? r->size * 2 : FRAME_SIZE_MAX;
			uint8_t *buffer = mem_resize(TAPE_ACCOUNT, r->buffer, size);
			if (!buffer)
				return -ENOMEM;
			r->buffer = buffer;
			r->size = size;
		}
		ssize_t n = read(r->fd, r->buffer + r->end, r->size - r->end);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		r->ended = !n;
		r->end += (uint32_t)n;
	}
	return r->end >= need;
}

bool tape_is(const void *bytes, size_t n)
{
	return n >= TAPE_MAGIC_SIZE && !memcmp(bytes, TAPE_MAGIC, TAPE_MAGIC_SIZE);
}

struct tape_reader *tape_reader_new(int fd)
{
	int error = -ENOMEM;
	struct tape_reader *r = mem_alloc(TAPE_ACCOUNT, sizeof(*r));
	if (!r) {
		close(fd);
		return errno = ENOMEM, NULL;
	}
	r->fd = fd;
	r->size = TAPE_BUFFER;
	r->buffer = mem_alloc(TAPE_ACCOUNT, r->size);
	if (!r->buffer)
		goto fail;
	error = fill(r, TAPE_MAGIC_SIZE);
	if (error == 0 || (error == 1 && !tape_is(r->buffer, r->end)))
		error = -EBADMSG;
	if (error < 0)
		goto fail;
	r->begin = TAPE_MAGIC_SIZE;
	return r;
fail:
	tape_reader_free(r);
	errno = -error;
	return NULL;
}

// One frame at `begin`: 1, 0 where the file ends before its end, -EBADMSG, -errno.
static int read_frame(struct tape_reader *r, uint32_t *size)
{
	int there = fill(r, TAPE_HEAD_SIZE);
	if (there <= 0)
		return there;
	*size = tape_get(r->buffer + r->begin, 4);
	if (*size > TAPE_FRAME_MAX)
		return -EBADMSG;
	there = fill(r, TAPE_HEAD_SIZE + *size);
	if (there <= 0)
		return there;
	const uint8_t *head = r->buffer + r->begin;
	uint32_t crc = crc32_add(crc32_add(0, head, 8), head + TAPE_HEAD_SIZE, *size);
	return tape_get(head + 6, 2) || crc != tape_get(head + 8, 4) ? -EBADMSG : 1;
}

// What is answered from now on, -EAGAIN and the like where that is not known yet. GOT is what
// read_frame said of the frame at `begin`.
static int verdict(struct tape_reader *r, int got)
{
	if (got < 0)
		return got;
	if (!got)
		return -ENODATA;
	// The end is empty and the last thing in the file.
	int more = fill(r, TAPE_HEAD_SIZE + 1);
	return more < 0 ? more : more ? -EBADMSG : ENDED;
}

int tape_read(struct tape_reader *r, uint16_t *kind, const uint8_t **payload, size_t *size)
{
	uint32_t n = 0;
	int over = r->over;
	if (!over) {
		int got = read_frame(r, &n);
		const uint8_t *head = r->buffer + r->begin;
		if (got == 1 && tape_get(head + 4, 2) != TAPE_KIND_END) {
			*kind = (uint16_t)tape_get(head + 4, 2);
			*payload = head + TAPE_HEAD_SIZE;
			*size = n;
			r->begin += TAPE_HEAD_SIZE + n;
			r->frames++;
			return 1;
		}
		over = verdict(r, got);
		if (over == ENDED || over == -ENODATA || over == -EBADMSG)
			r->over = over;
	}
	return over == ENDED ? 0 : over;
}

uint64_t tape_reader_frames(const struct tape_reader *r)
{
	return r->frames;
}

void tape_reader_free(struct tape_reader *r)
{
	if (!r)
		return;
	close(r->fd);
	mem_free(r->buffer);
	mem_free(r);
}
