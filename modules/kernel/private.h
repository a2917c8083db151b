// SPDX-License-Identifier: Apache-2.0
// What the files of this room share. BPF objects and descriptors belong to struct kernel.
#pragma once
#include "kernel.h"
#include "../base/base.h"

struct bpf_map;
struct telegen_bpf;

// One CPU's perf events: the clock that ticks our program, page faults that do so too, and the
// dummy whose ring brings mapping and exec events.
//
//   perf ring: [control page | 2^n data pages]   head: kernel's, tail: ours
struct cpu {
	int tick_fd, side_fd; // -1: offline
	int memory_fd;	      // -1: none
	void *side;	      // the mapped ring, NULL where there is none
	uint64_t tail;
	uint64_t enabled_ns; // how long side_fd had been enabled at the last look
};

// The BPF ring as it is mapped, see drain.c.
struct ring {
	uint64_t *consumer,
	    *producer;	// NULL where it is not mapped; the data follow the producer's page
	uint64_t at;	// what was taken so far
	uint32_t bytes; // a power of two
};

// The walker's tables, see table.c.
struct tables {
	struct window *windows; // mapped; NULL where there are no tables
	struct process_slot *processes;
	bool fixed; // all pages are there from the start, for this kernel knows no others
};

// How much of off-CPU profiling this kernel lets us have.
enum off_level {
	OFF_NONE,
	OFF_TIMES, // looks without stacks
	OFF_LOOKS,
};

// What of probes on allocators it lets us have, see alloc.c.
enum alloc_level {
	ALLOC_NONE,
	ALLOC_PAIRS, // every call is probed twice
	ALLOC_SESSIONS,
};

// Huge pages that processes get, see memory.c.
struct huge {
	void *link; // NULL: none came for a while
	uint64_t looked_ns, changed_ns;
	uint64_t seen;	 // handed out until the last look
	uint64_t unseen; // of these, while there was no hook
	uint64_t bytes;	 // of one
	bool can;      // they are looked for
	bool between;  // also of sizes that no number tells of: the hook stays
};

// Looks at all threads, see look.c.
struct look {
	void *switch_link, *exit_link, *fork_link, *link;
	struct look_control *control; // mapped
	uint8_t *records;
	uint32_t size;	// of records
	int fd;		// of the look that goes on; 0: none does
	uint64_t until; // as kernel_look has it
	uint64_t began_ns;
	uint64_t charged; // for threads that are followed, bytes
};

enum wake { WAKE_MAPPING, WAKE_SAMPLE };

struct kernel {
	struct kernel_options options;
	struct telegen_bpf *bpf;
	struct ring ring;
	struct tables tables;
	void *exit_link, *fork_link, *lock_begins, *lock_ends, *lock_leaves, *wake_link,
	    *around_link, *mapped_link;
	struct huge huge;
	struct cpu *cpus;
	uint32_t cpu_count, possible; // present CPUs (slots), possible CPUs (counters)
	uint64_t *counter_values;     // possible x KERNEL_COUNTER_COUNT, for reading the counters
	uint64_t map_bytes;
	struct look look;
	struct rates *rates; // mapped; NULL: they stay as they are
	uint64_t drained_ns; // nothing is in the BPF ring that is older
	char off_why[256], memory_why[256], locks_why[256], alloc_why[256], wakes_why[256],
	    mapped_why[256];
	// When perf's rings were last looked at, and the time of the oldest event that was there
	// then.
	uint64_t side_looked, side_next;
	uint64_t cpus_looked; // when it was last looked which CPUs are online
	uint8_t *event;	      // one perf record, made whole where it wraps
	int left;	      // records that this drain may still hand up
	unsigned ring_use;    // of the fullest ring, per cent
	// epoll over the perf rings (readable when one has something new) and the BPF ring (when a
	// sample asked for it)
	int wake_fd; // its events say enum wake
	struct kernel_names *asked; // what name.c hands down and gets back
	struct map own;		    // trim.c: kernel address -> whether it is of our way there
	uint64_t *trimmed;	    // a record without these
	struct map functions;	    // wake.c: kernel address -> what tells an interrupt there
	uint32_t page, side_bytes;  // of a ring: its control page, its data pages
	bool started, no_build_id;
	enum off_level off_level;
	enum alloc_level alloc_level;
	bool memory;  // page faults are sampled
	bool beyond;  // and what they bring beside their page is counted
	bool mapped;  // growth of what processes may write is followed
	bool locks;   // waits for locks of the kernel are
	bool wakes;   // who wakes is seen
	bool steps;   // this kernel lacks bpf_loop: programs that call each other
	bool more;    // the last drain met its bound
	bool foreign; // perf's process ids are not those of the samples
	bool names;   // the kernel can be asked for names
};

// perf.c
int perf_open_cpu(struct kernel *k, uint32_t cpu);
void perf_close_cpu(struct kernel *k, uint32_t cpu);
int perf_try_memory(const struct kernel *k); // can there be such an event? 0 or -errno
int perf_enable(struct kernel *k, uint32_t cpu, bool on);
// False where the events of CPU are dead: it went offline and came back.
bool perf_alive(struct kernel *k, uint32_t cpu);
// Hands up the mapping events with time <= UNTIL, oldest first over all CPUs, no more than are
// `left`.
void perf_drain(struct kernel *k, uint64_t until);
unsigned perf_ring_use(const struct kernel *k);
bool perf_ring_left(const struct kernel *k); // is anything in them?
uint32_t perf_cpu_list(const char *file, uint8_t *online, uint32_t max);

// kernel.c
bool kernel_pids_are_foreign(void);

// load.c
int kernel_load(struct kernel *k, char *why, size_t size);
// WHY gets one line: WHAT failed, ERROR, and what libbpf said of it since it was forgotten.
int kernel_explain(int error, char *why, size_t size, const char *what);
void kernel_forget_warning(void);
// Has this kernel HELPER for programs of TYPE (libbpf's numbers)?
bool kernel_has_helper(int type, int helper);
uint64_t map_cost(int fd); // bytes

// table.c
void table_sizes(struct kernel *k);					// before loading
uint64_t table_cost(const struct kernel *k, const struct bpf_map *map); // bytes, of any map
int table_open(struct kernel *k);
void table_close(struct kernel *k);

// look.c
enum off_level off_level(const struct kernel *k);
void off_choose(struct kernel *k); // before loading
int off_attach(struct kernel *k);
void off_stop(struct kernel *k);
void off_close(struct kernel *k);
// rates.c
void rates_choose(struct kernel *k); // before loading
int rates_open(struct kernel *k);
void rates_close(struct kernel *k);
// trim.c: hands R up
void trim_hand(struct kernel *k, const struct record *r);
// lock.c
int locks_attach(struct kernel *k); // 0 or -errno: then none of it
void locks_stop(struct kernel *k);

// memory.c
void memory_choose(struct kernel *k); // before loading
void memory_attach(struct kernel *k);
void memory_look(struct kernel *k, uint64_t now); // each second: are huge pages handed out?
void memory_stop(struct kernel *k);
// mapped.c
void mapped_choose(struct kernel *k); // before loading
int mapped_attach(struct kernel *k);  // 0 or -errno
void mapped_stop(struct kernel *k);
// wake.c
void wake_choose(struct kernel *k); // before loading, after off_choose
int wake_attach(struct kernel *k);  // 0 or -errno
void wake_stop(struct kernel *k);
// Of a sample that is WAKER_UNTOLD; WAKER_NONE: nobody can tell.
enum waker_kind wake_kind(struct kernel *k, const struct record_sample *r);

// alloc.c
enum alloc_level alloc_level(void);
void alloc_lacks_links(struct kernel *k); // says so
void alloc_choose(struct kernel *k);	  // before loading
int alloc_begin(struct kernel *k);	  // after it

// drain.c
int drain_open(struct kernel *k, int map_fd, uint32_t bytes);
void drain_close(struct kernel *k);

#define CPUS_NS (2 * NS_PER_S) // a CPU that comes is sampled so much later at most
// Data of a CPU's ring: 1,000 mapping events between two drains, on many CPUs fewer.
#define SIDE_MOST (128u << 10)
#define SIDE_LEAST (32u << 10)
#define SIDE_ALL (1u << 20)
#define EVENT_MAX 8192u // longest perf record taken: a path of PATH_MAX and its fields
