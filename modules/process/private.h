// SPDX-License-Identifier: Apache-2.0
// The tables behind process.h.
//
//   by_pid: pid -> entry that runs now        by_id: id -> every entry, also exited ones
//   entry : struct process (public part first), mappings[] sorted by start
//   binaries: id -> binary_entry; by_key: hash of build-id and size, or of (dev, inode, size, mtime) -> id
//   by_build_id: its hash -> id of the last binary with it, for mappings of files that are gone
//   roots : mount namespace -> O_PATH descriptor of a root, so that files of the dead can be opened
//   paths : interned; made anew by the sweep when it holds too much that nobody maps any more
#pragma once
#include "process.h"
#include "../base/base.h"

struct entry {
	struct process p; // first: what callers hold
	struct process_mapping *mappings;
	uint32_t count, cap;
	uint32_t exec_pages; // of the newest sample
	uint64_t seen_ns;    // newest sample or event
	uint64_t next_read_ns; // maps are not read again before
	uint64_t losses;       // COUNT_MMAP_LOST when the mappings were last known to be whole
	bool maps_read, sampled, event_since;
	bool stale; // executable memory changed and no event told how
};

struct binary_entry {
	struct binary b; // first
	uint64_t key, build_id; // of by_key, of by_build_id (0: none)
	uint64_t dev, inode, mtime_ns;
	uint64_t used_ns;
	uint32_t path, mnt_ns;
};

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
	struct entry fresh;	   // only its mappings count
	uint32_t id;		   // of the process
	uint64_t began_ns;
	bool events; // mappings came meanwhile: what was read is stale again
};

struct processes {
	struct process_options options;
	struct map by_pid, by_id, binaries, by_key, by_build_id;
	struct reading reading;
	struct names *paths;
	struct proc_scan *scan;
	struct root roots[ROOTS_MAX];
	uint32_t next_id, next_binary, pinned;
	uint64_t now_ns;
};

// table.c
struct entry *entry_add(struct processes *t, uint32_t pid, uint64_t start_ticks);
void entry_free(struct processes *t, struct entry *e);
struct entry *entry_by_pid(struct processes *t, uint32_t pid);

// mapping.c
void mapping_put(struct entry *e, const struct process_mapping *m);
void reading_end(struct processes *t);
void mappings_copy(struct entry *to, const struct entry *from);
struct process_mapping *mapping_at(struct entry *e, uint64_t address);
uint32_t mapping_kind_of(const char *path, bool has_build_id);

// binary.c
uint32_t binary_of(struct processes *t, struct entry *e, struct process_mapping *m);
uint64_t build_id_hash(const uint8_t *id, size_t n);
int root_of(struct processes *t, uint32_t pid, uint32_t mnt_ns); // borrowed, or -errno
void binary_drop(struct processes *t, struct binary_entry *b);
void binaries_sweep(struct processes *t);
