// SPDX-License-Identifier: Apache-2.0
// What the walker is told of processes.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "../process/process.h"
#include "store.h"

struct file;
struct unwind;

// What is published of a process.
struct publication {
	uint32_t pid, mm_id, process; // its id
	uint32_t execs;		      // that were told
	uint32_t slot;		      // POOL_NONE: not published
	struct region region;
	uint16_t file_count;
	bool changed;
	uint16_t *files; // first windows of the files that it has
	uint64_t hash;	 // of the mappings, to tell whether they are still the same
	uint64_t sample_ns, published_ns, due_ns;
	uint64_t again_ns; // not anew before
	struct publication *next;
};

struct publication *publication_of(const struct unwind *u, uint32_t pid);
bool publication_has(const struct publication *p, const struct file *f);
void publication_want(struct unwind *u, struct process *p, const struct record_sample *r);
void publication_execed(struct unwind *u, const struct process *p, uint64_t now);
void publication_changed(struct unwind *u, struct publication *p, uint64_t delay_ns);
void publication_free(struct unwind *u, struct publication *p);
void publications_sweep(struct unwind *u);
// Link-time address of ADDRESS in mapping M. Two segments may share a page of the file, which is
// mapped twice then: the mapping that begins where a segment does is that segment's. False: no
// code.
bool mapping_link(const struct unwind *u, const struct process_mapping *m,
    const struct elf_facts *facts, uint64_t address, uint64_t *link);
bool publish_step(struct unwind *u, uint64_t end_ns); // false: nothing to do now
