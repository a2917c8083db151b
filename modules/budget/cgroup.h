// SPDX-License-Identifier: Apache-2.0
// The memory cgroup that limits this process, and what it holds.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct cgroup {
	uint64_t limit; // bytes, 0: none
	bool v1;
	int usage, stat; // its files, -1: not to be read
};

// The smallest limit of this process's group and all above it, as budget_new says. 0 or -ENOMEM.
int cgroup_find(struct cgroup *g, const char *root, const char *self_file);
void cgroup_close(struct cgroup *g);
// Bytes charged to the group, the kernel's share and other processes too, but without the cache of files,
// which goes by itself where the limit is met. 0: not to be read.
uint64_t cgroup_held(const struct cgroup *g);
