// SPDX-License-Identifier: Apache-2.0
#include "local.h"
#include "../base/base.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define HELD_NS NS_PER_S

struct tape_writer {
	int fd;
	int error; // the first one; after it nothing is written any more, as a frame may be cut
		   // there
	uint64_t flush_ns; // when the buffer is to be written out though it is not full
	uint32_t used;
	uint8_t buffer[TAPE_BUFFER];
};

static int write_out(struct tape_writer *w, const uint8_t *from, size_t n)
{
	while (n) {
		ssize_t done = write(w->fd, from, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return w->error = done ? -errno : -EIO;
		from += done;
		n -= (size_t)done;
	}
	return w->error;
}

int tape_flush(struct tape_writer *w)
{
	uint32_t n = w->used;
	w->used = 0;
	w->flush_ns = clock_now() + HELD_NS;
	return write_out(w, w->buffer, n);
}

static int add(struct tape_writer *w, const void *bytes, size_t n)
{
	if (n > sizeof(w->buffer) - w->used && tape_flush(w))
		return w->error;
	if (n > sizeof(w->buffer))
		return write_out(w, bytes, n);
	if (n)
		memcpy(w->buffer + w->used, bytes, n);
	w->used += (uint32_t)n;
	return 0;
}

struct tape_writer *tape_writer_new(int fd)
{
	struct tape_writer *w = mem_alloc(TAPE_ACCOUNT, sizeof(*w));
	if (!w) {
		close(fd);
		return errno = ENOMEM, NULL;
	}
	w->fd = fd;
	w->flush_ns = clock_now() + HELD_NS;
	add(w, TAPE_MAGIC, TAPE_MAGIC_SIZE);
	return w;
}

static int put_frame(struct tape_writer *w, uint16_t kind, const void *a, size_t a_size,
    const void *b, size_t b_size)
{
	uint8_t head[TAPE_HEAD_SIZE] = {0};
	tape_put(head, (uint32_t)(a_size + b_size), 4);
	tape_put(head + 4, kind, 2);
	uint32_t crc = crc32_add(crc32_add(crc32_add(0, head, 8), a, a_size), b, b_size);
	tape_put(head + 8, crc, 4);
	if (!add(w, head, sizeof(head)) && !add(w, a, a_size))
		add(w, b, b_size);
	return !w->error && clock_now() >= w->flush_ns ? tape_flush(w) : w->error;
}

int tape_write(struct tape_writer *w, uint16_t kind, const void *a, size_t a_size, const void *b,
    size_t b_size)
{
	assert(kind != TAPE_KIND_END);
	if (w->error)
		return w->error;
	if (a_size > TAPE_FRAME_MAX || b_size > TAPE_FRAME_MAX - a_size)
		return -EMSGSIZE;
	return put_frame(w, kind, a, a_size, b, b_size);
}

int tape_writer_close(struct tape_writer *w)
{
	if (!w)
		return 0;
	if (!w->error)
		put_frame(w, TAPE_KIND_END, NULL, 0, NULL, 0);
	int error = w->error ? w->error : tape_flush(w);
	if (close(w->fd) && !error)
		error = -errno;
	mem_free(w);
	return error;
}
