// SPDX-License-Identifier: Apache-2.0
// The tables behind process.h.
//
//   by_pid       pid -> entry that had it last
//   by_id        id -> every entry: struct process (public part first), mappings[] by start
//   binaries     id -> binary_entry
//   by_key       hash of build-id, size and a sample of the content (where it is kept apart: and of
//                its mount namespace), or of (dev, inode, size, mtime) -> binary's id
//   sampled      hash of (dev, inode, size, mtime, ctime) -> key of by_key
//   by_build_id  its hash -> id of the one binary with it, for mappings of files that are gone
//   roots        mount namespace -> O_PATH descriptor of a root, for files of those that are gone
//   resources    hash of its facts -> resource; by entries, and freed with the last of them
//   paths        interned; made anew by the sweep when they are much that nobody maps any more
#pragma once
#include "process.h"
#include "../base/base.h"

struct mappings {
	struct process_mapping *at; // by start
	uint32_t count, cap;
	bool stale; // executable memory changed and no event told how, or not all of it was kept
	bool full;  // there are more than are kept of one process
};

struct entry {
	struct process p;	// first: what callers hold
	struct mappings now;	// of the program that runs
	struct mappings before; // of the one before the newest exec, while samples of it may come
	uint32_t exec_pages;	// of the newest sample
	uint32_t tid;		// of the newest sample
	uint64_t seen_ns;	// newest sample or event
	uint64_t checked_ns;	// when it was last made sure that it still runs
	uint64_t exec_ns;	// newest exec event, 0: none
	uint64_t before_ns;	// the one before it
	uint64_t next_read_ns;	// maps are not read again before
	struct resource *resource;
	uint64_t resource_due_ns; // when it is to be read: 0 at once, UINT64_MAX it is known
	uint64_t losses;	// COUNT_MMAP_LOST when the mappings were last known to be whole
	bool known;		// its start time is; false: made by an exec event, not yet sampled
	bool sampled, event_since;
	bool maps_read; // the mappings are whole: read, or told by the events since its exec
	bool execing;	// since the newest exec no sample was surely of the new program
	bool heir;	// the program before that was its parent's: forked, and this its first exec
	bool loading;	// the kernel part of the sample at hand is of loading a program
	bool bare;	// the sample at hand found no executable memory at all: inside execve
	bool taught;	// `before` is of the sample that comes next on the tape
	bool asked;	// an address of the sample at hand
	bool tried;	// to read its mappings for the sample at hand: once for all its frames
	bool late;   // the sample at hand is older than the newest exec: of a program that is gone
	bool by_tid; // its first thread has ended: /proc shows mappings under another
	bool jit;    // executable memory of no file was sampled
};

struct binary_entry {
	struct binary b;	// first
	uint64_t key, build_id; // of by_key, of by_build_id (0: none)
	uint64_t used_ns;
	uint32_t path, mnt_ns;
	bool shared; // by processes of several mount namespaces
	bool apart;  // of one for ever: its debug file was found in there. Under another key
};
#define AMBIGUOUS 0 // in by_build_id: several binaries have it

struct root {
	uint32_t mnt_ns;
	int fd;
	uint64_t used_ns;
};
#define ROOTS_MAX 64

// The one process whose many mappings are read in slices: what was read so far stands apart until
// all of it can take the place of the old.
struct reading {
	struct proc_maps_job *job; // NULL: none
	struct mappings fresh;
	uint32_t id;	  // of the process
	uint64_t cost_ns; // spent on it so far
};

// Pids that ended a moment ago: a sample of the last work of an exit may still come.
struct ended {
	uint32_t pid;
	uint64_t start_ticks;
};
#define TICK_NS 10000000ull // /proc counts start times in USER_HZ, 100 a second on every Linux
#define ENDED_MAX 256	    // by pid modulo
#define LEAVING_MAX 64
#define JITS_MAX 64

struct processes {
	struct process_options options;
	struct map by_pid, by_id, binaries, by_key, by_build_id, sampled;
	struct reading reading;
	struct map resources;
	size_t resource_bytes;
	struct names *paths;
	size_t paths_bytes; // after they were last made anew
	struct proc_scan *scan;
	struct root roots[ROOTS_MAX];
	struct ended ended[ENDED_MAX];
	uint32_t leaving[LEAVING_MAX]; // ids of those that ended and were never sampled: the newest
	uint32_t leaving_at;
	struct entry *at_hand; // whose sample is being taken: it is not evicted
	uint32_t next_id, next_binary, next_resource;
	uint32_t pinned;	      // descriptors of binaries
	struct entry *jits[JITS_MAX]; // whose roots are pinned
	uint32_t jit_count;
	uint32_t sweep_at, look_at, look_binary, look_resource; // where the next walk goes on
	uint64_t now_ns;			 // of the newest record or call
	uint64_t since_ns;	  // of processes that began later every event is known
	uint64_t next_reread_ns;  // no mappings are read a second time before
	uint64_t seed;		  // of the keys: nobody may choose files to collide
	struct elf_secret secret; // nor one that is taken for another
	int busy; // mappings or paths are in use: processes_shrink must leave them alone
};

// Ids made up in a replay; those of recordings lie below.
#define UNTAUGHT_FIRST 0x80000000u
