// SPDX-License-Identifier: Apache-2.0
// The straight line, and the only room that knows the whole story:
//   learn  the world changed (exec, mmap, exit, a scan of /proc)
//   take   a sample came up: whose is it, what does each address mean, add it
//   ship   a window closed: seal it, name it, keep it, write it
//
//   current window --close--> sealed --named--> on_window, history, upload --upload_interval-->
//   directory, receivers
// A window has a profile of each type that is wanted; they are shipped one after the other.
// One window at a time is being shipped; while it is, the current one simply goes on
// (COUNT_WINDOWS_LATE), so nothing is lost to slowness.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../profile/profile.h"

struct path;
struct loop;
struct kernel;
struct processes;
struct proc;
struct filter;
struct symbol;
struct unwind;
struct heap;
struct history;
struct directory;
struct deliver;
struct record;
struct tape_writer;
struct tape_reader;
struct text;

// What the path makes a profile of: id, name as profile_type_find knows it. A sample may count in
// several: wall is all that cpu and offcpu hold, mutex is a part of offcpu. Those from ALLOCS to
// GO_BLOCK (PATH_TOLD_TYPES) are only there where somebody tells of them: programs that profile
// themselves (Go's), or probes. A recording tells types by their place: a new one comes last.
#define PATH_TYPES(X)                                                                              \
	X(CPU, "cpu")                                                                              \
	X(OFF_CPU, "offcpu")                                                                       \
	X(WALL, "wall")                                                                            \
	X(MUTEX, "mutex")                                                                          \
	X(MEMORY, "memory")                                                                        \
	X(ALLOCS, "allocs")                                                                        \
	X(HEAP, "heap")                                                                            \
	X(GO_BLOCK, "goblock")                                                                     \
	X(MAPPED, "mapped")
enum path_type {
#define X(id, name) PATH_##id,
	PATH_TYPES(X)
#undef X
	    PATH_TYPE_COUNT
};
#define PATH_TOLD_TYPES (1u << PATH_ALLOCS | 1u << PATH_HEAP | 1u << PATH_GO_BLOCK)
const char *path_type_name(enum path_type type);
// TYPES (1 << enum path_type) and those that come beside them.
uint32_t path_types_beside(uint32_t types);

struct path_options {
	uint32_t types; // 1 << enum path_type, of each that is wanted; 0: cpu
	struct loop *loop;
	struct proc *proc;
	const struct filter *filter; // NULL: everything is wanted
	struct history *history;     // NULL: none
	struct directory *directory; // NULL: none
	struct deliver *deliver;     // NULL: none; freed after path_free_jobs, before path_free
	uint64_t collection_ns, upload_ns;
	uint64_t period_ns;	// of cpu
	uint32_t cpu_limit;	// of the agent, in millionths of a core; 0: none
	uint64_t memory_period; // of memory, bytes
	uint64_t lock_min_ns;	// shorter waits for locks are left out of mutex
	uint32_t wakers;	// 1 << enum path_type: with the stack of who ended the wait
	// Of probed allocators: bytes between two samples, 0: there are none; sampled blocks that
	// may be live at a time; how long a block lives to be a leak, perhaps.
	uint64_t alloc_period;
	uint32_t alloc_live;
	uint64_t leak_age_ns;
	const char *const *alloc_names; // of processes to be probed, ends in NULL; or NULL
	uint64_t blocked_bytes;		// most that threads off the CPU may take; 0: a default
	uint32_t pinned_max;
	const uint32_t *pids; // (borrowed) of what programs tell themselves: of these processes
	uint32_t pid_count;   // and what they fork; 0: of all that the filter wants
	uint32_t resources;   // of subjects: enum process_wish; 0: they have none
	bool offline;	      // a replay
	// A profile of a window is named and in the history; P is valid during the call. One call
	// for each type, in their order. For `record`, `top`.
	void (*on_window)(void *arg, enum path_type type, const struct profile *p);
	void *arg;
};

struct path *path_new(const struct path_options *options); // NULL + errno
void path_free(struct path *p);
// Ends every job in the middle, so that what the jobs borrow (resolver, history) can be freed
// first.
void path_free_jobs(struct path *p);
// The resolver that names; built by the caller with path_processes, lives longer than the path.
void path_set_symbol(struct path *p, struct symbol *s);
// The tables that the walker reads; built by the caller with path_processes and path_unwind_busy,
// lives as long as the path. NULL: none.
void path_set_unwind(struct path *p, struct unwind *u);
void path_unwind_busy(void *p); // unwind_options.on_busy
// What probes the allocators, told of programs and libraries as they come and go; built by the
// caller, freed after path_free_jobs. NULL: none.
void path_set_heap(struct path *p, struct heap *h);
void path_heap_over(void *p, uint32_t pid); // heap_options.on_over
struct processes *path_processes(struct path *p);
// Profiles of TYPES (1 << enum path_type) cannot be made after all. Before path_start.
void path_leave_out(struct path *p, uint32_t types);
// Kernel records go here (kernel_options.on_record).
void path_record(void *p, const struct record *r);
// Draining, windows and the first scan begin. KERNEL may be NULL in tests that call path_record.
int path_start(struct path *p, struct kernel *k);
// Closes the current window now (or as soon as the one before it is shipped). Nothing in a replay,
// where the tape closes them, and after path_finish.
void path_flush(struct path *p);
// Stops sampling (or the replay), takes and ships everything that is left, then calls DONE once.
void path_finish(struct path *p, void (*done)(void *arg), void *arg);
uint64_t path_shrink(
    void *p, uint64_t need); // for budget: ships the window early, so that it can go; 0

struct path_totals {	       // since path_start
	uint64_t taken;	       // samples begun in the kernel (of wanted processes)
	uint64_t delivered;    // samples in profiles under their stacks
	uint64_t lost;	       // counted by cause, and in profiles as [lost: ...]
	uint64_t filtered;     // came up but were not wanted
	uint64_t off_cpu_ns;   // time off the CPU in profiles, all threads'
	uint64_t memory_bytes; // that became resident, in profiles
	uint64_t mapped_bytes; // by which mapped memory grew, in profiles
	uint64_t alloc_bytes;  // that probed allocators handed out, estimated
	uint64_t told;	       // figures that programs told of themselves
};
void path_totals(const struct path *p, struct path_totals *totals);
struct path_rates {
	uint32_t limit,
	    use;	// of the agent's CPU, millionths of a core: cpu_limit, in the last 10 s
	uint32_t every; // the rates are 1/every
};
bool path_rates(const struct path *p, struct path_rates *rates); // false: there is no limit
// Walk: why a stack may end early beyond what the walker in the kernel tells (WALK_ENDS): the label
// in its frame `[truncated: LABEL]`, and a sentence. False behind the last.
bool path_end(uint32_t i, const char **label, const char **text);
// Why there is no profile of TYPE, one that programs tell of themselves: one line. False where no
// program that might was met.
bool path_untold(const struct path *p, enum path_type type, char *why, size_t size);
bool path_scanned(const struct path *p); // the first scan is through
// Says in lines like kernel_check's which of the profiles that programs keep of themselves there
// are now. Takes up to two seconds.
void path_check_programs(struct proc *proc, struct text *out);

// Everything that comes in is also written to TAPE (borrowed) with the facts to name it. What
// cannot be written ends the recording, not the path: tape_flush and tape_writer_close tell.
void path_tape(struct path *p, struct tape_writer *tape);
// Feeds a recording through a path made with `offline`, in slices; DONE gets 0, or (what came
// before is kept): -ENODATA where the tape was cut, -EBADMSG where it is damaged or lies,
// -EPROTONOSUPPORT where it is another version's, -errno of a read.
int path_replay(
    struct path *p, struct tape_reader *tape, void (*done)(void *arg, int result), void *arg);
uint64_t path_replayed_to(const struct path *p); // wall time up to which it went, 0: nothing came
