// SPDX-License-Identifier: Apache-2.0
#include "lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void lines_start(struct lines *l, int fd, uint64_t limit)
{
	l->fd = fd;
	l->mark = '\n';
	l->ended = l->skipping = false;
	l->begin = l->end = 0;
	l->at = 0;
	l->limit = limit;
}

// Reads more behind `end`. 0 (perhaps at the file's end now) or -errno.
static int fill(struct lines *l)
{
	memmove(l->buffer, l->buffer + l->begin, l->end - l->begin);
	l->end -= l->begin;
	l->begin = 0;
	if (l->at >= l->limit)
		return -EFBIG;
	size_t room = sizeof(l->buffer) - l->end;
	if (room > l->limit - l->at)
		room = (size_t)(l->limit - l->at);
	ssize_t n;
	do
		n = pread(l->fd, l->buffer + l->end, room, (off_t)l->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	l->ended = n == 0;
	l->end += (uint32_t)n;
	l->at += (uint64_t)n;
	return 0;
}

int lines_next(struct lines *l, char **line, size_t *len)
{
	for (;;) {
		char *from = l->buffer + l->begin;
		size_t there = l->end - l->begin;
		char *newline = memchr(from, l->mark, there);
		if (newline) {
			size_t n = (size_t)(newline - from);
			l->begin += (uint32_t)n + 1;
			bool whole = !l->skipping && n <= LINES_LINE_MAX && !memchr(from, 0, n);
			l->skipping = false;
			if (!whole)
				return -EBADMSG;
			*newline = 0;
			*line = from;
			*len = n;
			return 1;
		}
		if (there > LINES_LINE_MAX) {
			l->skipping = true;
			there = 0;
		}
		if (l->skipping)
			l->begin = l->end;
		if (l->ended) {
			bool torn = there || l->skipping;
			l->begin = l->end;
			l->skipping = false;
			return torn ? -EBADMSG : 0;
		}
		int error = fill(l);
		if (error)
			return error;
	}
}
