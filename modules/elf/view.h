// SPDX-License-Identifier: Apache-2.0
// The one way this room reads bytes: a window onto a file (pread, never mapped) or onto an ELF
// image in memory. Everything above it works on both.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct view {
	int fd;		      // -1: bytes are at `image`
	const uint8_t *image; // NULL: bytes are in `fd`
	uint64_t size;	      // nothing at or beyond it is read
};

// FD as a view: regular files only. 0 or -errno (-EINVAL: not a regular file). FD is borrowed.
int view_file(struct view *v, int fd);
void view_memory(struct view *v, const void *image, size_t size);
// All N bytes at OFFSET, or -EBADMSG (beyond the end, or the file shrank) or -errno.
int view_read(const struct view *v, uint64_t offset, void *to, size_t n);
// Up to N bytes at OFFSET, short only at the end: the number of bytes or -errno.
int64_t view_some(const struct view *v, uint64_t offset, void *to, size_t n);
// The NUL-terminated string at OFFSET that must end before LIMIT; cut at SIZE-1 bytes. Its length
// or -EBADMSG or -errno.
int view_string(const struct view *v, uint64_t offset, uint64_t limit, char *to, size_t size);
