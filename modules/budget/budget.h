// SPDX-License-Identifier: Apache-2.0
// One memory limit. Rooms bring a way to shrink; when an allocation would pass the limit they are
// asked in order of rank (lowest first), until enough is free. Budget knows no room.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct budget;

// Sets the limit of base/mem to LIMIT bytes, but never above 3/4 of the cgroup's own limit, read
// below CGROUP_ROOT (normally "/sys/fs/cgroup"; v2 memory.max of this process's group and all above
// it, or v1 memory.limit_in_bytes) as SELF_CGROUP_FILE (normally "/proc/self/cgroup") names it.
// NULL + errno.
struct budget *budget_new(uint64_t limit, const char *cgroup_root, const char *self_cgroup_file);
void budget_free(struct budget *b);
// Looks at what the cgroup holds of what nobody accounts (what malloc keeps, the kernel's share, other processes
// in it), and lowers the limit of base/mem while that leaves less. Returns in how many ns to be called again; 0:
// never, there is no cgroup's limit. Reads two files; where memory is short malloc gives pages back too, which
// may take a millisecond.
uint64_t budget_look(struct budget *b);
uint64_t budget_limit(const struct budget *b); // bytes, at most
uint64_t budget_cgroup_limit(const struct budget *b); // 0: none found
// SHRINK frees about NEED bytes if it can and returns how many it freed; it must not allocate. NAME
// is kept, not copied. 0 or -ENOSPC (64 there already).
int budget_add(struct budget *b, int rank, const char *name, uint64_t (*shrink)(void *arg, uint64_t need),
    void *arg);
// Forgets every shrink that was added with ARG (call before ARG is freed).
void budget_remove(struct budget *b, void *arg);
// Walk, by rank: what each gave back so far. for (uint32_t i = 0; budget_next(b, &i, &name, &freed);)
bool budget_next(const struct budget *b, uint32_t *i, const char **name, uint64_t *freed);
