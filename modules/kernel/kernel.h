// SPDX-License-Identifier: Apache-2.0
// What runs in the kernel (this room is the only one that knows libbpf): loads the BPF programs,
// opens the perf events, drains the ring and perf's mapping events, in the order of their time.
// Knows no process.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../bpf/counter.h"
#include "../../bpf/record.h"
#include "../../bpf/table.h"

struct kernel;
struct map;
struct text;

// Whose wakers are sampled too (SOURCE_WAKER): of all blocks that have a stack, or of waits for a
// futex.
enum kernel_wakers { KERNEL_WAKERS_NONE, KERNEL_WAKERS_ALL, KERNEL_WAKERS_OF_LOCKS };

struct kernel_options {
	uint64_t cpu_period_ns; // 0: no CPU samples
	bool cycles;		// tick by hardware cycles; by the CPU clock where there are none
	uint32_t max_depth;	// user frames, at most FRAMES_MAX
	bool no_kernel_frames, no_user_frames;
	bool only_listed;    // only processes that kernel_want lists (and the children they fork)
	uint32_t wanted_max; // size of that list
	uint32_t ring_bytes; // power of two; 0: 256 KiB
	bool no_loop; // tests: the programs for kernels that have fewer helpers (before 5.17)
	uint64_t unwind_memory;	 // bytes that the walker's tables may take; 0: no tables
	bool off_cpu;		 // time off the CPU, see kernel_look
	uint64_t off_cpu_min_ns; // blocks shorter than that are summed
	bool off_cpu_kernel;	 // with kernel frames
	enum kernel_wakers off_cpu_wakers;
	uint32_t off_cpu_stacks; // a second, of all CPUs, or 200 of each where that is more
	uint32_t off_cpu_every;	 // tests: a stack of one in so many switches; 0: as many as fit
	bool locks;		// waits for locks of the kernel
	uint64_t lock_min_ns;	// shorter ones are summed
	uint64_t memory_period; // bytes that become resident between two samples, whole pages; 0: none
	bool memory_huge_stays; // the hook for huge pages, also while nobody gets one
	bool mapped; // growth of what processes may write (SOURCE_MAPPED)
	// Bytes between two sampled blocks of probed allocators, and how many of these blocks may
	// be live at a time; 0: none.
	uint64_t alloc_period;
	uint32_t alloc_live;
	bool governed; // kernel_set_rates is there, and counters of what the programs cost
	void (*on_record)(void *arg, const struct record *r); // R is valid during the call
	void *arg;
};

// Loads everything, attaches nothing. NULL + errno, WHY gets one line: what is missing and what to
// do.
struct kernel *kernel_new(const struct kernel_options *options, char *why, size_t why_size);
void kernel_free(struct kernel *k);
int kernel_start(struct kernel *k, char *why, size_t why_size);
void kernel_stop(struct kernel *k); // no more samples; what is in the ring can still be drained
// Hands at most MAX records up. Returns how many; MAX means there may be more.
int kernel_drain(struct kernel *k, int max);
// Why a profiler that was asked for does not run (it was left out), or NULL: one line.
const char *kernel_off_cpu_why(const struct kernel *k);
const char *kernel_wakers_why(const struct kernel *k);
const char *kernel_memory_why(const struct kernel *k);
const char *kernel_mapped_why(const struct kernel *k);
const char *kernel_locks_why(const struct kernel *k); // kernel locks, of a mutex profile
const char *kernel_alloc_why(const struct kernel *k);
// A piece of a look at all threads, to be called until it is through, five times a second: stacks
// of those that have been blocked for long enough and have none, given to on_record. With UNTIL (of
// clock_now(), in the past) also, up to then, the time of blocks that go on and what no stack
// bears: the end of a window. Another UNTIL begins another look. 1: more, 0: through, -errno (the
// look is over).
int kernel_look(struct kernel *k, uint64_t until, uint64_t budget_ns);
// Likewise, one that only takes those stacks again that lacked rows, to be begun when they are
// there; or, LOST, of all blocks that go on: what was taken of them is gone.
int kernel_look_again(struct kernel *k, bool lost, uint64_t budget_ns);
// Readable when a program or library was mapped, or a sample wanted rows or mappings that the
// walker has not (200 times a second at most); borrowed. kernel_woken makes it wait again: true
// where it was such a sample, false where it was a mapping, too young to be handed up yet. Mappings
// may come in storms: whoever waits for it does well to rest between two times.
int kernel_wake_fd(const struct kernel *k);
bool kernel_woken(struct kernel *k);
bool kernel_young(const struct kernel *k); // the last drain left mappings that were too young
// What was sampled before then (of clock_now()) has been handed up.
uint64_t kernel_drained(const struct kernel *k);
// How full the fullest ring was when the last drain began (of drains in pieces: the fullest of
// them), per cent; 100 while more is waiting.
unsigned kernel_ring_use(const struct kernel *k);
// Probes on functions of the file FD (borrowed) where process PID maps it: what they hand out is
// sampled (SOURCE_ALLOC), and the end of what was sampled is told (RECORD_FREE). They are there
// until kernel_unprobe, the end of the process, or ours. 0 or -errno. Waits 6 to 16 ms for each
// link; does system calls alone, so that an errand may do it.
#define KERNEL_PROBES_MAX 64
#define KERNEL_PROBE_LINKS 2
struct kernel_probe {
	uint64_t offset; // in the file
	uint32_t kind;	 // enum alloc_kind, of HotSpot's an ALLOC_JAVA_KIND (bpf/alloc.h)
};
int kernel_probe(struct kernel *k, uint32_t pid, int fd, const struct kernel_probe *probes,
    uint32_t count, int links[KERNEL_PROBE_LINKS]);
// Waits until nobody runs in them, tens to hundreds of ms; does system calls alone, so that an errand
// may do it. The links are none after it.
void kernel_unprobe(int links[KERNEL_PROBE_LINKS]);
// Was the end of this sampled block not seen yet? (That its record found the ring full is
// KERNEL_ALLOC_FREE_RING.)
bool kernel_block_lives(struct kernel *k, uint32_t pid, uint64_t address);
void kernel_block_forget(struct kernel *k, uint32_t pid, uint64_t address);
// The process PID, which was probed, has ended: perhaps in the middle of calls.
void kernel_calls_forget(struct kernel *k, uint32_t pid);
// WANT: 1 list, 0 take off the list; with only_listed off, 0 marks a process unwanted and 1 clears
// that.
int kernel_want(struct kernel *k, uint32_t pid, int want);
void kernel_unlist(struct kernel *k, uint32_t pid); // neither listed nor marked any more
// 1/EVERY of the full rates from now on, EVERY at most 64: what is taken bears as much more, see
// rates.h. Losses of ticks are counted by ticks too.
void kernel_set_rates(struct kernel *k, uint32_t every);
int kernel_counters(struct kernel *k, uint64_t counters[KERNEL_COUNTER_COUNT]);
const char *kernel_counter_label(enum kernel_counter c);
const char *kernel_counter_text(enum kernel_counter c);
// Follows hotplug, also of a CPU that went and came back since the last look. kernel_drain does so
// every two seconds; called by oneself it tells of trouble. -ENOSPC: there is a CPU that this
// machine did not have at the start; it is not profiled.
int kernel_rescan_cpus(struct kernel *k);
uint32_t kernel_cpus(const struct kernel *k);
uint64_t kernel_map_bytes(const struct kernel *k); // what the maps cost, bytes
// Huge pages that processes got while their hook was let go: how many since the start, and their BYTES.
uint64_t kernel_huge_unseen(const struct kernel *k, uint64_t *bytes);
// BPF run time so far, ns (0 where statistics are off), and runs.
uint64_t kernel_run_time(const struct kernel *k, uint64_t *runs);

// Names COUNT kernel addresses (at most KERNEL_NAMES_MAX) by asking the kernel: NAMED gets for each
// its function's [start, end), name and module ("" for none); NAME is NULL where the kernel knows
// none. COUNT 0 only asks whether it can be. -EOPNOTSUPP: this kernel cannot be asked
// (before 5.14), read /proc/kallsyms.
int kernel_name(struct kernel *k, const uint64_t *addresses, uint32_t count,
    void (*named)(void *arg, uint32_t index, uint64_t start, uint64_t end, const char *name,
	const char *module),
    void *arg);
// What the functions at COUNT of these ADDRESSES are, by CLASS_OF their names (0: there is none),
// into M. 0 or -errno as kernel_name; without memory some stay unknown and are asked for again.
int kernel_classify(struct kernel *k, struct map *m, const uint64_t *addresses, uint32_t count,
    uint64_t (*class_of)(const char *name));

// The tables that the walker reads, as bpf/table.h draws them: the kernel's maps, or in tests plain
// memory. The functions return 0 or -errno.
struct kernel_tables {
	struct window *windows; // WINDOWS_MAX, mapped: a store is seen by the walker at once
	struct process_slot *processes; // PROCESS_SLOTS, likewise
	// Cost of these two and of what holds the pages; of a page, 0 where all of them are there
	// from the start (before 6.1).
	uint64_t fixed_bytes, page_bytes[PAGE_KINDS];
	uint32_t pages_max[PAGE_KINDS]; // at once
	// Makes page number PAGE of COUNT blocks (PAGE_BLOCKS at most, the rest is zero), charged
	// to ACCOUNT_MAPS. -EEXIST, -ENOSPC (there are pages_max), -ENOMEM or another that passes.
	// What walks may find is never written again: it is let go and another page made. Neither
	// call waits for anything.
	int (*put)(void *arg, enum page_kind kind, uint32_t page, const struct block *blocks,
	    uint32_t count);
	void (*drop)(void *arg, enum page_kind kind, uint32_t page);
	void *arg;
};
// *TABLES is valid until kernel_free. 0, -EOPNOTSUPP (unwind_memory was 0) or -errno.
int kernel_tables(struct kernel *k, struct kernel_tables *tables);

// `telegen check`: one line per feature: "yes|no  feature: what is missing: what to do". Returns 0
// when CPU profiles are possible.
int kernel_check(struct text *out);
