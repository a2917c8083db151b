// SPDX-License-Identifier: Apache-2.0
// The facts of a tape: the kernel's records and what /proc and the files said, in the order in
// which the path met them. A fact comes before the record that needs it; names come after the
// window that asks for them and before its NAMED. Numbers are little endian, as the machines that
// are profiled write them.
//
//   META, then per window: (PROCESS | MAPPING)* RECORD | BUCKET ... LOST* WINDOW NAME* NAMED
//
// Names of one window may lie among the records of the next: the sealed window waits for its NAMED.
// A window closes all types at once; NAMED comes when the last of them is named.
// Samples that were not wanted are not on the tape; samples that were lost are LOST, not RECORDs.
#pragma once
#include "../elf/elf.h"
#include <stdint.h>

// To be raised when any of the structures changes, struct elf_facts and the kernel's records
// included.
#define TAPE_VERSION 6

enum tape_kind {
	TAPE_META = 1, // struct tape_meta
	TAPE_RECORD,   // a kernel record
	TAPE_PROCESS,  // struct tape_process
	TAPE_MAPPING,  // struct tape_mapping, path NUL
	TAPE_NAME,     // struct tape_name, name NUL system name NUL
	TAPE_LOST,     // struct tape_lost, mark NUL
	TAPE_WINDOW,   // struct tape_window: the window closes here
	TAPE_NAMED,    // all names of the window before have passed
	TAPE_BUCKET,   // struct tape_bucket, `count` struct place
};

struct tape_meta {
	uint32_t version;
	uint32_t types; // as path_options.types, as all here
	uint64_t period_ns, memory_period;
	uint64_t alloc_period, leak_age_ns;
	uint32_t alloc_live, wakers;
	uint64_t wall_ns, clock_ns; // at the start of the recording, by both clocks
};
struct tape_process {
	uint32_t id, pid, ppid, mnt_ns;
	uint64_t start_ticks, cgroup;
	uint8_t wanted, kernel_thread, pad[6];
	char comm[16], container[72];
};
struct tape_mapping {
	uint32_t pid, kind;
	uint64_t start_ticks, start, end, offset;
	uint32_t binary, pad; // 0: none, the rest is empty
	uint64_t size;
	struct elf_facts facts;
};
struct tape_name {
	uint64_t address, start, end;
	uint32_t owner, kind, name_len, pad;
};
struct tape_lost { // see take_lost
	uint32_t type, pad;
	uint64_t count, value;
};
struct tape_bucket { // what a program tells itself
	uint32_t process, type, count, pad;
	int64_t values[2];
};
struct tape_window {
	uint64_t wall_ns, duration_ns;
};
