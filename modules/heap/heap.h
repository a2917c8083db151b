// SPDX-License-Identifier: Apache-2.0
// Probes on the allocators of processes, where the user asked for them: which mapped files define
// malloc and its like, where a probe may stand in them, and when the probes come off.
//
//   heap_add -> mappings of the process -> functions of each file -> probes
//   heap_changed (a program or library was mapped) -> the same for files that are new
//   off: heap_free, the time limit, the end of the process or of telegen
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap;
struct kernel;
struct loop;
struct proc;
struct text;

struct heap_options {
	struct kernel *kernel;
	struct proc *proc;
	struct loop *loop; // NULL: the caller calls heap_step
	uint64_t time_ns;  // how long each process is probed; 0: no limit
	// Called when that is over: what PID frees is not seen any more. NULL: nobody asks.
	void (*on_over)(void *arg, uint32_t pid);
	void *arg;
	// Since when processes have been probed, of the heap before (borrowed for heap_new), or NULL:
	// for those of them that are added again the time goes on, and where it is over they are not
	// probed.
	const struct heap_times *times;
};

struct heap_times {
	uint32_t count;
	struct {
		uint32_t pid;
		uint64_t began_ns; // clock_now() time
	} of[64];
};

struct heap *heap_new(const struct heap_options *options); // NULL + errno
void heap_free(struct heap *h);
// Begins with process PID, or LATER, when it executes a program. 0, -EEXIST, -ENOSPC (as many as
// there can be) or -ENOMEM.
int heap_add(struct heap *h, uint32_t pid, bool later);
void heap_times(const struct heap *h, struct heap_times *times);
bool heap_has(const struct heap *h, uint32_t pid);
// Looks for allocators: 1 more, 0 nothing to look at now. What was found is told in the log, and
// probed before it returns, for which the kernel takes 6 to 16 ms each: the loop's own steps do not wait.
int heap_step(struct heap *h, uint64_t budget_ns);
// Its probes, how many; 0: none, and WHY gets one line (empty while it is not known yet).
uint32_t heap_probes(const struct heap *h, uint32_t pid, char *why, size_t size);
// Likewise, of any time since heap_add.
bool heap_was_probed(const struct heap *h, uint32_t pid, char *why, size_t size);
// What was mapped into PID is looked at within moments. EXECED: all that was there is gone.
void heap_changed(struct heap *h, uint32_t pid, bool execed);
void heap_stop(struct heap *h); // all probes come off, nothing more is looked for
// The process ended. Of one without a time limit that was never probed the reason stays.
void heap_ended(struct heap *h, uint32_t pid);
// For `telegen check`: of which Java machines that run here the allocations could be probed.
// Nothing where none runs. Takes up to two seconds.
void heap_check(struct proc *proc, struct text *out);
