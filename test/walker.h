// SPDX-License-Identifier: Apache-2.0
// The walker of bpf/walk.bpf.h compiled in user space, for either machine, over tables in plain
// memory and whatever memory `read` knows.
#pragma once
#include <stdbool.h>

#include "../bpf/counter.h"
#include "tables.h"

#define WALKER_FRAMES 1024

struct walker_input {
	struct tables *tables;
	bool arm64;
	uint32_t pid, mm_id, frames_max;
	uint64_t reg[33]; // by DWARF's numbers; arm64's pc is 32
	int (*read)(void *arg, uint64_t address, void *to, size_t size); // 0 or -1
	void *arg;
};
struct walked {
	uint32_t count;
	enum walk_end end;
	bool need_window; // of the code at frame need_at
	uint32_t need_at, by_fp;
	uint64_t pc[WALKER_FRAMES];
	bool exact[WALKER_FRAMES]; // no call lies before it
};
void walker_walk(const struct walker_input *in, struct walked *out);
