// SPDX-License-Identifier: Apache-2.0
// Where a command writes: a file under a temporary name until it is whole, or the standard output.
#pragma once
#include "../export/export.h"
#include <stdbool.h>
#include <stdio.h>

struct file_sink {
	char path[4096], temporary[4096 + 16];
	int fd;
	bool direct;
	uint64_t bytes;
	int error;
};
// "-" is the standard output; what is there and is no regular file (a FIFO, a device) is written
// directly. MODE as of open(2). 0 or -errno.
int file_sink_open(struct file_sink *s, const char *path, unsigned mode);
// The file takes its place now though more is to come, so that what there is survives a kill; not
// where another file stands there, which may be worth more.
void file_sink_place(struct file_sink *s);
struct wire_sink file_sink_sink(struct file_sink *s);
// Puts the file in its place, or (ERROR != 0) removes what was begun. 0 or the first error. Fine
// where nothing is open.
int file_sink_close(struct file_sink *s, int error);

// Whether a file may be made at PATH at all, before work is done for it: 0 or -errno.
int file_sink_check(const char *path);
bool file_sink_is_directory(const char *path);

// Encodes P into PATH by its suffix ("-": folded) and says what failed on stderr. 0 or EXIT_FAILED.
// Where memory_limit is too small for it, that is -ENOMEM, of which the caller says what would do;
// but with PARTLY only a warning, and what found no memory stands in the file as "[rest: N
// stacks]", if that does.
int write_profile(const struct profile *p, const struct profile *base, const char *path,
    const char *title, bool partly);
const char *sink_name(const char *path); // for messages
// Writes T to the standard output; says what failed on stderr. 0 or EXIT_FAILED.
struct text;
int write_text(const struct text *t);
// Human size: "12.3 kB".
const char *human_bytes(uint64_t bytes, char *buffer, size_t size);
