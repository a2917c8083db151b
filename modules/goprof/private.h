// SPDX-License-Identifier: Apache-2.0
// What the files of this room share.
#pragma once
#include "goprof.h"
#include "../base/base.h"
#include "../elf/elf.h"

// memory.c: the memory of a process, a block at a time, read twice.
#define BLOCK 16384u
struct memory {
	int fd;
	uint64_t at; // of what is held
	uint32_t have;
	uint8_t once[BLOCK], again[BLOCK];
};
void memory_forget(struct memory *m);
// N bytes at ADDRESS; AGAIN (NULL: not wanted) gets them as they were a moment later. 0 or -EFAULT.
int memory_read(struct memory *m, uint64_t address, void *to, void *again, size_t n);

enum variable { // see variables[] in goprof.c
	VARIABLE_HEAP,
	VARIABLE_MUTEX,
	VARIABLE_BLOCK,
	VARIABLE_HEAP_RATE,
	VARIABLE_MUTEX_RATE,
	VARIABLE_BLOCK_RATE,
	VARIABLE_VERSION,
	VARIABLE_COUNT
};

// A program's file.
struct program {
	enum goprof_kind kind;
	uint64_t at[VARIABLE_COUNT]; // link-time addresses, 0: not there
	uint32_t minor;		     // its Go's version is 1.MINOR or later, 0: not known
};

// What a list held when it was last read: VALUES of bucket i, oldest first.
struct mark {
	uint64_t count, value;
};
struct marked {
	uint64_t head; // of the list, 0: it was empty
	struct mark *marks;
	uint32_t count, cap;
	bool read; // it has been read: what is not marked is new
	bool lost; // there was no room for marks: of what came meanwhile only the future is told
	bool collected; // the program has published figures
};
struct process_marks {
	uint64_t bias;
	uint32_t binary;
	struct marked lists[GOPROF_LISTS];
};

// A list is walked twice: to count what is new, so that each bucket has its mark; then to tell.
//
//   new ones, newest first      old ones
//   head -> . -> . -> . -> old head -> ... -> the oldest
//   `fresh` of them        marks[count-1]    marks[0]
struct walk {
	enum goprof_list list;
	uint64_t head, next;
	uint32_t seen;
	uint32_t fresh; // new ones
	bool counting;	// and looking whether any figures have been published
	bool known;	// the old ones were reached
	bool collected; // they have
	uint32_t left;	// buckets from `next` on to the oldest
	uint32_t tries; // of this bucket
};

struct goprof {
	struct goprof_options options;
	struct map programs;  // binary -> struct program
	struct map processes; // process -> struct process_marks
	uint64_t marks_bytes;
	uint64_t ticks, ticks_ns; // of this machine, at the start
	// The reading at hand.
	struct goprof_target target;
	bool opened; // its variables were read
	int error;   // of a list
	struct elf_find *find;
	struct elf_variable wanted[VARIABLE_COUNT];
	struct program program;
	struct goprof_rates rates;
	uint32_t minor; // its Go's version 1.MINOR
	struct walk walk;
	struct memory memory;
	uint64_t stack[GOPROF_DEPTH_MAX];
};

// goprof.c
struct process_marks *goprof_marks(struct goprof *g); // of the process at hand; NULL + ENOMEM
// Room for COUNT more items in AT, which has CAP, within marks_max. 0 or -ENOMEM.
int goprof_grow(struct goprof *g, struct mark **at, uint32_t *cap, uint32_t count);
double goprof_ns_per_tick(const struct goprof *g); // 0: cannot be told here
// list.c
void list_begin(struct goprof *g, enum goprof_list list);
int list_step(struct goprof *g, uint64_t deadline,
    void (*told)(void *arg, const struct goprof_sample *sample), void *arg);
