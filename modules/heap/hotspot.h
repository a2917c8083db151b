// SPDX-License-Identifier: Apache-2.0
// What HotSpot tells of itself: where a thread keeps how much it has allocated.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "allocator.h"

struct mapped;
struct proc;

// Puts into A's probes where that lies, read from the memory of process PID, which maps the library
// FD as M says. False: it is not there (yet, where PID has just mapped it), so that a new TLAB can
// only stand for its own size, and what a thread used of its last one is not told.
bool hotspot_fit(
    struct allocator *a, struct proc *proc, uint32_t pid, int fd, const struct mapped *m);
