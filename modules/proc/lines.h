// SPDX-License-Identifier: Apache-2.0
// A text file line by line through one buffer, with bounds on line and file. What ends a line is
// set between lines_start and the first lines_next, where it is no newline.
//
//   buffer  [ given | begin ... lines ... end | free ]   at: file offset of `end`
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_LINE_MAX (4096 + 100) // a path of PATH_MAX and the numbers before it
#define LINES_BUFFER 8192	    // always has room for one line and half a page more

struct lines {
	int fd;
	char mark; // ends a line
	bool ended, skipping;
	uint32_t begin, end;
	uint64_t at, limit; // LIMIT: bytes of the file that are read at most
	char buffer[LINES_BUFFER];
};

// FD stays the caller's. The buffer is not cleared.
void lines_start(struct lines *l, int fd, uint64_t limit);
// 1 and a line without its newline, NUL-terminated, writable, valid until the next call. 0 at the
// end. -EBADMSG for a line that cannot be had whole (too long, a NUL in it, the last one without
// newline): go on with the next. Any other -errno is of pread, -EFBIG where the limit was reached:
// the end.
int lines_next(struct lines *l, char **line, size_t *len);
