// SPDX-License-Identifier: Apache-2.0
// Probes on allocators, for a capture with --alloc and for the agent's profiling.alloc.
#pragma once
#include "hall.h"

bool allocs_wanted(const struct hall_options *options);
void allocs_options(const struct hall_options *options, struct path_options *po);
// After kernel_start and before path_start. 0, or an exit status with one line in WHY.
int allocs_start(struct hall *h, char *why, size_t size);
// At the end: of which processes of the capture nothing was probed, and why. On stderr.
void allocs_say(const struct hall *h);
