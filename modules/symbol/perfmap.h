// SPDX-License-Identifier: Apache-2.0
// JIT code's names from /tmp/perf-PID.map: one streaming pass for many addresses, memory in
// proportion to them.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../elf/elf.h"
#include "../process/process.h"
#include "cache.h"

struct perfmap_entry {
	uint64_t start, end;
	const char *name; // within the line
	size_t len;
	bool openj9;	  // 16 upper-case digits and a hotness at the name's end
	bool interpreted; // V8's bytecode: an address in the heap
};
// Takes one line apart (without its newline). False where it makes no sense.
bool perfmap_line(const char *line, size_t n, struct perfmap_entry *e);
// The name as shown: without OpenJ9's hotness and the addresses in HotSpot's hidden classes.
void perfmap_name(const struct perfmap_entry *e, char *name, size_t size);

struct perfmap_options {
	const struct process *process; // not kept
	const char *const *paths;      // further patterns, NULL-terminated, or NULL
	uint64_t bytes_max;
	struct map_seen seen;	   // what was read before
	bool fresh;		   // there are addresses that were never looked up in it
	const uint64_t *addresses; // sorted ascending, borrowed
	uint32_t count;
	void (*found)(void *arg, uint32_t index, const struct elf_symbol *symbol); // as in elf.h
	void (*changed)(void *arg, uint64_t start, uint64_t end); // newer code lies there
	void *arg;
};
struct perfmap;
// NULL + errno: no map that this process may have written.
struct perfmap *perfmap_new(const struct perfmap_options *options);
// 1: more to do; 0: every address was answered. A symbol without a name and without a range means:
// still none since the map was read last.
int perfmap_step(void *map, uint64_t budget_ns);
void perfmap_free(void *map);
struct map_seen perfmap_seen(const struct perfmap *m); // how far it was read
