// SPDX-License-Identifier: Apache-2.0
// Where a command writes: a file under a temporary name until it is whole, or the standard output.
#pragma once
#include "../export/export.h"
#include <stdio.h>

struct file_sink {
	char path[4096], temporary[4096 + 16];
	int fd;
	uint64_t bytes;
	int error;
};
// "-" is the standard output. 0 or -errno.
int file_sink_open(struct file_sink *s, const char *path);
struct wire_sink file_sink_sink(struct file_sink *s);
// Puts the file in its place, or (ERROR != 0) removes what was begun. 0 or the first error.
int file_sink_close(struct file_sink *s, int error);

// Encodes P into PATH by its suffix ("-": folded) and says what failed on stderr. 0 or EXIT_FAILED.
int write_profile(const struct profile *p, const struct profile *base, const char *path, const char *title);
// Human size: "12.3 kB".
const char *human_bytes(uint64_t bytes, char *buffer, size_t size);
