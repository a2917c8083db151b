// SPDX-License-Identifier: Apache-2.0
// Samples of programs, and programs of one file each: for tests of what is published, loaded and
// let go.
#pragma once
#include "unwind_fake.h"

#include <dirent.h>

#define MIB (1ull << WINDOW_SHIFT)
#define AT 0x7f0000000000ull
#define PAGES_OF_30000 34 // that a window of so many rows takes
#define STAY_S 300	  // rows of a file that no process has any more

static struct rule rule;
static uint64_t seed = 5;

static inline uint32_t draw(uint32_t below)
{
	seed = hash_mix(seed + 1);
	return (uint32_t)(seed % below);
}

static inline int sample(uint32_t pid, uint64_t address)
{
	return fake_sample(pid, 1, address, &rule);
}

static inline struct unwind_figures figures(void)
{
	struct unwind_figures f;
	unwind_figures(fake.u, &f);
	return f;
}

// A process that maps file ID (of MIBS windows, ROWS each), published.
static inline void program(uint32_t pid, uint32_t id, uint32_t mibs, uint32_t rows)
{
	world_file(id, 0x400000, 0, mibs)->rows = rows;
	world_map(pid, 0, id, AT, true);
	sample(pid, AT);
	fake_steps();
}

static inline uint32_t descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint32_t n = 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}
