// SPDX-License-Identifier: Apache-2.0
// Whether the processes that are to be profiled can be read at all.
#pragma once
#include <stdint.h>
struct proc;

// Says on stderr, in one line, that the files and mappings of processes are closed to us and what
// to do; of COUNT PIDS, or where there are none of any process of the node. Looks at 256 of them at
// most.
void reach_say(struct proc *proc, const uint32_t *pids, uint32_t count);
