// SPDX-License-Identifier: Apache-2.0
// What the files of this room that know of processes share.
#pragma once
#include "heap.h"
#include "allocator.h"
#include "mapped.h"
#include "removal.h"

#include "../kernel/kernel.h"

#define TARGETS_MAX 64 // as many as heap_times has
#define FILES_MAX 256  // of a process, that are executable
#define PROBED_MAX 8   // of these, allocators

struct file {
	struct mapped at;
	bool seen; // looked through
	uint32_t tries;
};

struct target {
	uint32_t pid, probes, file_count, next; // files[next] is the next to be looked through
	uint32_t probed_count, looks;
	bool wanted;	   // its mappings are to be read (again)
	bool found, named; // an allocator, whether or not probed; any function at all
	bool go, go_told;  // its program is Go's
	bool ever;	   // it had probes
	bool untold;	   // why one of its allocators is not probed
	bool over;	   // the time limit took the probes off
	bool untold_over;  // on_over is to be told when the last of them is off
	uint64_t began;	   // clock_now() time
	uint64_t until;	   // likewise, 0: no limit
	int links[PROBED_MAX][KERNEL_PROBE_LINKS];
	struct timer *limit;
	struct heap *heap;
	char why[256];
	struct file *files; // FILES_MAX
};

// Probes that go on, while the loop does: the kernel takes 6 to 16 ms for each link, waiting.
// Nothing else is looked at meanwhile.
struct attach {
	struct errand *errand; // NULL: none go on
	uint32_t pid;
	int fd;	     // of their file, ours
	bool unfit;  // who wanted them does no more
	int error;   // 0: they are on
	int links[KERNEL_PROBE_LINKS];
};

struct heap {
	struct heap_options options;
	struct target *targets[TARGETS_MAX];
	struct target *at; // the one that is being looked at, NULL: none
	struct proc_maps_job *maps;
	struct allocator_search *search;
	struct allocator allocator;
	int fd, debug; // of the file that is being looked through, and its debug file or -1
	struct attach attach;
	struct slice *slice;
	struct timer *rest;
	struct removals removals;
	struct heap_times before; // whose time goes on
};

// heap.c
void heap_off(struct heap *h, uint32_t pid); // no probes of PID are on: until now what it frees was seen
// search.c
void heap_busy(struct heap *h, const struct target *t); // looks at T soon
void heap_end_search(struct heap *h); // it was looking at nothing, or is not to go on
void heap_end_attach(struct heap *h); // waits for probes that go on, and takes them off
