// SPDX-License-Identifier: Apache-2.0
// What process.h speaks of.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "../elf/elf.h"

// What an address means, independent of the process where the file says it all: equal places are
// equal code.
enum place_kind {
	PLACE_NONE,
	PLACE_KERNEL, // address: kernel virtual
	PLACE_FILE,   // owner: binary id; address: link-time vaddr
	PLACE_OFFSET, // owner: binary id; address: file offset (the file could not be read)
	PLACE_VDSO,   // address: offset in the vdso image
	PLACE_ANON,   // owner: process id; address: virtual. Executable memory of no file: JIT code
	PLACE_UNMAPPED, // owner: process id; address: virtual; no executable mapping covers it
	PLACE_PENDING,	// its process's mappings are so many that they are still being read
	PLACE_TOO_MANY, // as PLACE_UNMAPPED, but not all mappings of this process could be kept
};
struct place {
	uint64_t address;
	uint32_t owner;
	uint32_t kind; // enum place_kind
};

struct binary {
	uint32_t id; // never reused
	int fd;	     // pinned (-1: closed); borrowed by callers
	// As mapped, in the process's own mount namespace; valid until the next call.
	const char *path;
	uint64_t size;
	struct elf_facts facts; // exec_count 0 where the file could not be read
	uint32_t last_pid;	// a process that maps it
};

struct process {
	uint32_t id; // never reused (a pid is); what places and profiles keep
	uint32_t pid, ppid, mnt_ns;
	uint64_t start_ticks; // /proc/PID/stat's field 22
	uint64_t cgroup;
	uint64_t exit_ns; // CLOCK_MONOTONIC; 0: runs
	int root_fd;	  // O_PATH of its root where pinned (JIT code was seen), else -1
	uint32_t ns_pid;  // its pid in its own namespace where pinned, else 0
	uint32_t euid;
	bool wanted;
	bool kernel_thread;
	bool exec_seen; // it has run its program since an exec that was told, not before
	// Of the sample at hand, once its first place was asked: it was taken inside execve. That
	// place is of the program before (or PLACE_UNMAPPED), and no other of it is known.
	bool in_exec;
	char comm[16];
	char container[65]; // 64 hex digits, or ""
	char pod[37];	    // uid of its Kubernetes pod, or ""
};

#define MAPPING_BEFORE 0x100u
struct process_mapping {
	uint64_t start, end, offset;
	uint32_t binary; // 0: none
	// enum place_kind of what lies in it: FILE, VDSO or ANON. For a recording also TOO_MANY or
	// UNMAPPED; and with MAPPING_BEFORE it is of the program before, for the one sample at
	// hand.
	uint32_t kind;
	// Private: what is known before the file was opened.
	uint64_t build_id; // hash, 0: none
	uint64_t inode;	   // 0: not known
	uint32_t path;	   // interned, of files and memfds
	bool deleted;	   // not to be found by its path
	bool told;	   // on_mapping was called
};
