// SPDX-License-Identifier: Apache-2.0
// Who runs, and which files are mapped where. A process is identified by pid and start time; after
// its exit it stays for a grace time, because samples and names come later.
//
//   processes: pid -> struct process { start, comm, cgroup, mappings[] sorted by start }
//   mapping  : [start, end) + file offset -> binary (by id) | anonymous | vdso
//   binaries : build-id, size and a sample of the content, or (dev, inode, size, mtime)
//              -> struct binary { facts, path, fd }
//
// Binaries are shared by all processes that map them, from wherever: 100 replicas cost one. Both
// tables are bounded; the one not used for longest goes first, and what is asked of it later reads
// as unknown.
#pragma once
#include "resource.h"
#include "types.h"

struct processes;
struct proc;
struct record_sample;
struct record_task;
struct record_mmap;

struct process_options {
	struct proc *proc;
	uint32_t processes_max; // 0: default 16384
	uint32_t binaries_max;	// 0: default 2048
	uint32_t pinned_max; // descriptors of files, and of roots where JIT code is; 0: default 256
	uint64_t grace_ns;   // kept this long after the exit; 0: 30 s
	uint32_t resources;  // of processes are wanted: enum process_wish; 0: they are not
	bool offline;	     // a replay: facts come by process_teach_mapping, /proc is never read
	// Called for each process once it is known (and after exec): sets ->wanted and ->container.
	void (*on_new)(void *arg, struct process *p);
	// Called when a sample hit a mapping for the first time, and when another binary was found
	// behind it (for a recording). M->binary is 0 where no file lies behind it, or it could not
	// be told.
	void (*on_mapping)(void *arg, const struct process *p, const struct process_mapping *m);
	// Asked of samples around an exec: is a program being loaded where R's kernel part was
	// taken, so that the user registers are still those of the program before? 1, 0, or -errno
	// where nobody can tell; NULL: nobody can.
	int (*is_loading)(void *arg, const struct record_sample *r);
	// Called when processes_read has something to do.
	void (*on_busy)(void *arg);
	void *arg;
};
struct processes *processes_new(const struct process_options *options);
void processes_free(struct processes *t);
// Reads /proc once, in slices: 1 more, 0 done, -errno.
int processes_scan(struct processes *t, uint64_t budget_ns);
// Goes on reading the mappings of a process that has too many for one turn: 1 more, 0 done.
int processes_read(struct processes *t, uint64_t budget_ns);
// Forgets what exited longer ago than the grace time, and what is long unused; call it each window.
void processes_sweep(struct processes *t, uint64_t now_ns);
// For budget: frees mappings that were not used for two seconds; they are read again when needed.
uint64_t processes_shrink(void *t, uint64_t need);

void process_execed(struct processes *t, const struct record_task *r);
void process_exited(struct processes *t, const struct record_task *r);
void process_mapped(struct processes *t, const struct record_mmap *r);
// The process that the sample was taken in, learned now if it is new. NULL + errno (table full).
struct process *process_of(struct processes *t, const struct record_sample *r);
// What ADDRESS means in P, which process_of gave for the sample at hand; the first address is where
// the CPU was, the others are its callers. Reads mappings and pins files at first need.
struct place process_place(struct processes *t, struct process *p, uint64_t address);

// The binary whose mapping holds ADDRESS, 0 for none: JIT code in a memfd has one without a file.
uint32_t process_binary_at(const struct process *p, uint64_t address);
// The executable mappings of P, sorted, not overlapping; borrowed until the next call. *COUNT is 0
// where they are not known (yet).
const struct process_mapping *process_mappings(
    struct processes *t, struct process *p, uint32_t *count);
// The binary behind M as far as is known without opening anything: one that has M's build-id, which
// is enough to unwind by, but not to name by. 0: none.
uint32_t process_mapping_guess(const struct processes *t, const struct process_mapping *m);
// The binary behind the mapping of P that covers ADDRESS, opened now if it was not asked for
// before; 0: none. What process_mappings gave is no longer valid.
uint32_t process_mapping_binary(struct processes *t, struct process *p, uint64_t address);

struct process *process_by_pid(struct processes *t, uint32_t pid); // the one that runs, or NULL
// Up to MAX pids of processes that run, kernel threads left out: how many.
uint32_t processes_list(const struct processes *t, uint32_t *pids, uint32_t max);
// The process that runs as PID, asked of /proc now. NULL where there is none (or no room).
struct process *process_learn(struct processes *t, uint32_t pid);
// Where P's own program is mapped: its first executable mapping of a file, with the binary behind
// it, mappings read and the file pinned at first need. NULL where it is not known (yet); valid
// until the next call.
const struct process_mapping *process_program(struct processes *t, struct process *p);
// By ids of places; NULL where it was forgotten. The root of one that runs JIT code is pinned again
// where it had to be let go.
struct process *process_by_id(struct processes *t, uint32_t id);
struct binary *binary_by_id(struct processes *t, uint32_t id);
// The descriptor of the binary, opened again if it was closed; -errno where it is gone, or is not
// what it was (its content is looked at each time).
int binary_fd(struct processes *t, struct binary *b);
// Opens PATH as processes that map B see it (for separate debug files), regular files only; where
// these are in several containers, as the host sees it, for what one has tells nothing of another.
int binary_open_beside(struct processes *t, const struct binary *b, const char *path);

// Replay: what a recording says in place of /proc. Ids of processes and binaries stay those of the
// recording, so that its places mean the same here. 0, -ENOMEM, -EINVAL: no recording says this.
int process_teach(struct processes *t, const struct process *p);
int process_teach_mapping(struct processes *t, uint32_t pid, uint64_t start_ticks,
    const struct process_mapping *m, const struct binary *b);
