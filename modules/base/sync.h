// SPDX-License-Identifier: Apache-2.0
// fdatasync that does not hold the loop: the kernel's own asynchronous I/O does it, a step waits
// for it no longer than it may.
#pragma once
#include <stdint.h>

struct sync {
	unsigned long context; // 0: the kernel has none to give
	int fd;		       // being synchronised, -1: none
};

void sync_open(struct sync *s);
int sync_start(struct sync *s, int fd);
// The same, of a file or a directory, where it holds nobody: where there is no asynchronous I/O it
// is left to the kernel's own time.
void sync_start_aside(struct sync *s, int fd);
int sync_step(struct sync *s, uint64_t budget_ns); // 1 more, 0 done, -errno
void sync_close(struct sync *s);
