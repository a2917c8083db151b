// SPDX-License-Identifier: Apache-2.0
// What the files of this room share.
#pragma once
#include "proc.h"
#include "lines.h"

struct proc {
	int root; // O_PATH descriptor of the /proc directory
};

// Opens PID/NAME (or NAME, where PID is 0) below the root for reading, following no symlink at its
// end.
int local_open(const struct proc *p, uint32_t pid, const char *name);
// Makes a readable descriptor of an O_PATH one when that is a regular file (else -EINVAL); closes
// FD in any case. A device or a FIFO is thus never opened: that alone can rewind a tape or arm a
// watchdog.
int local_reopen(int fd);
// An O_PATH descriptor of whatever PATH is beneath ROOT_FD, or -errno.
int local_path_beneath(int root_fd, const char *path);
// True where PATH ends in " (deleted)", which the kernel appends to the path of an unlinked file.
bool local_says_deleted(const char *path, size_t len);
// Cuts that end of such a path. Not where a file of just that name and INODE (0: not known) exists
// beneath the process's root: then it is its own. True where it was cut.
bool local_cut_deleted(struct proc *p, uint32_t pid, char *path, size_t len, uint64_t inode);
