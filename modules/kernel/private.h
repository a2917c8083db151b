// SPDX-License-Identifier: Apache-2.0
// What the files of this room share. BPF objects and descriptors belong to struct kernel.
#pragma once
#include "kernel.h"
#include "../base/base.h"

struct telegen_bpf;
struct ring_buffer;

// One CPU's two perf events: the clock that ticks our program, and the dummy whose ring brings
// mapping and exec events.
//
//   perf ring: [control page | 2^n data pages]   head: kernel's, tail: ours
struct cpu {
	int tick_fd, side_fd; // -1: offline
	void *side;	      // the mapped ring, NULL where there is none
	uint64_t tail;
};

struct kernel {
	struct kernel_options options;
	struct telegen_bpf *bpf;
	struct ring_buffer *ring;
	void *exit_link, *fork_link;
	struct cpu *cpus;
	uint32_t cpu_count, possible; // present CPUs (slots), possible CPUs (counters)
	uint64_t *counter_values;     // possible x KERNEL_COUNTER_COUNT, for reading the counters
	uint64_t map_bytes;
	uint64_t side_until; // mapping events up to this time were handed up
	uint8_t *event;	     // one perf record, made whole where it wraps
	int left;	     // records that this drain may still hand up
	unsigned ring_use;
	struct kernel_names *asked; // what name.c hands down and gets back
	bool started, no_build_id;
	bool names; // the kernel can be asked for names
};

// perf.c
int perf_open_cpu(struct kernel *k, uint32_t cpu);
void perf_close_cpu(struct kernel *k, uint32_t cpu);
int perf_enable(struct kernel *k, bool on);
// Hands up the mapping events with time <= UNTIL, oldest first over all CPUs.
void perf_drain(struct kernel *k, uint64_t until);
unsigned perf_ring_use(const struct kernel *k);
uint32_t perf_cpu_list(const char *file, uint8_t *online, uint32_t max);

#define SIDE_PAGES 8u // data pages of a CPU's ring: about 270 mapping events between two drains
#define EVENT_MAX 8192u // longest perf record taken: a path of PATH_MAX and its fields
