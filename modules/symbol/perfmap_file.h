// SPDX-License-Identifier: Apache-2.0
// The file behind a perf map: which one it is, and whether it is the one that was read before.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache.h"

struct process;

// Opens the process's map, as it sees the path itself, into PATH; it must be a regular file of the
// process's user or of root, written since the process started. A descriptor or -errno; *SEEN gets
// the file's identity, *BYTES its size.
int perfmap_open(const struct process *p, const char *const *paths, char *path, size_t size,
    struct map_seen *seen, uint64_t *bytes);
// Is the file (NOW, of BYTES) the one that was read before, only longer?
bool perfmap_continues(
    int fd, const struct map_seen *before, const struct map_seen *now, uint64_t bytes);
// Hash of the bytes before OFFSET; 0 where there are none.
uint64_t perfmap_tail(int fd, uint64_t offset);
