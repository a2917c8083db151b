// SPDX-License-Identifier: Apache-2.0
// Files, their windows, and the loading of those.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "../process/process.h"
#include "rows.h"

struct unwind;

// Code of one file; its windows lie in a row. KEY: the binary's id.
struct file {
	uint64_t key, low; // link-time address where the first window starts
	uint16_t first, count;
	uint32_t refs;	 // published processes that have it
	uint32_t loaded; // windows with rows
	uint32_t pages;	 // of those rows
	uint32_t used;	 // seconds, when it was last asked for
	uint32_t mark;	 // of the last publication that has it
	uint8_t misses;	 // windows that were loaded because a walk missed them
	uint8_t ahead;	 // that may be loaded before one does
	bool ended;	 // processes had it, none has, and nobody asked since
	struct file_window {
		uint32_t rows, retry; // of those loaded; seconds, not asked again before
		uint32_t need;	      // bytes that building it took when there were no more
		uint16_t wanted;      // blocks that found no room
		uint16_t asked;	      // times, of late
		bool queued;
	} windows[];
};
#define FILE_VDSO (1ull << 32)
#define FILE_WINDOWS_MAX 1024u // code of 1 GiB

// The one window that is being loaded.
struct load {
	struct file *file;     // NULL: none; its source stays while it has queued windows
	struct source *source; // NULL: not open
	int fd, debug_fd;      // -1: none
	struct rows_job *job;  // NULL: not begun, or `blocks` has what came of it
	uint32_t window;       // of the job
	uint64_t peak;	       // bytes that the job took
	struct block *blocks;  // that are to be placed
	uint32_t dictionary, count, rows;
};

// file.c
struct file *file_of(const struct unwind *u, uint64_t key);
// Made if it is not there yet. NULL: there is no room for its windows (FORCE: others are let go,
// for the next time it is asked for), or no memory.
struct file *file_make(struct unwind *u, const struct binary *b, bool force);
struct file *file_make_vdso(struct unwind *u);
void file_free(struct unwind *u, struct file *f); // no process that is published has it
void files_sweep(struct unwind *u);
bool facts_usable(const struct elf_facts *facts); // is it code that can have rows?
// The one vdso that all 64-bit processes have; in others it lies below 4 GiB.
bool vdso_is_ours(const struct process_mapping *m);

// load.c
void load_want(struct unwind *u, struct file *f, uint64_t address); // link-time
bool load_step(struct unwind *u, uint64_t end_ns);		    // false: nothing to do now
void load_forget(struct unwind *u, const struct file *f);	    // it is being freed
void load_stop(struct unwind *u);
