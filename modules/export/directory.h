// SPDX-License-Identifier: Apache-2.0
// Which files of a directory are ours, and which of them are the oldest; private to this room.
#pragma once
#include "job.h"

#define FILE_NAME_MAX 96

struct file_entry {
	uint64_t size;
	char name[FILE_NAME_MAX];
};

// One look over the directory, in slices.
struct file_scan {
	void *stream; // DIR
	uint64_t total;
	uint32_t count; // in `oldest`, sorted
	struct file_entry oldest[16];
};

// "cpu-20261123T101500Z-60s.pb.gz" for P; N > 1 tells files of the same second apart.
void file_name_make(
    char name[FILE_NAME_MAX], const struct profile *p, enum export_format format, unsigned n);
// Where the time stands in a name that could be ours, else NULL.
const char *file_name_time(const char *name);

int file_scan_start(struct file_scan *s, int directory);
int file_scan_step(struct file_scan *s, struct slice *slice); // 1 more, 0 done, -errno
void file_scan_stop(struct file_scan *s);
// Removes what earlier runs left unfinished.
void file_remove_temporary(int directory);
#define FILE_TEMPORARY ".tmp-"
