// SPDX-License-Identifier: Apache-2.0
// Files that a process maps, and their separate debug files.
#pragma once
#include <stdint.h>

#define MAPPED_PATH 200

struct proc;
struct proc_map;
struct mapped { // an executable mapping
	uint64_t start, end, offset, inode;
	uint32_t major, minor;
	char path[MAPPED_PATH]; // as the process sees it, "" where it is longer
};

void mapped_set(struct mapped *to, const struct proc_map *m);
const char *mapped_name(const struct mapped *m); // without directories
// M as PID maps it; by its path where its mapping may not be opened (CAP_CHECKPOINT_RESTORE). A
// descriptor or -errno.
int mapped_open(struct proc *proc, uint32_t pid, const struct mapped *m);
// The debug file with the build-id of the file FD, which is M's: beneath the root of PID or our
// own.
int mapped_debug_open(struct proc *proc, uint32_t pid, int fd, const struct mapped *m);
