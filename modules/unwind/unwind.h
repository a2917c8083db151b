// SPDX-License-Identifier: Apache-2.0
// Unwind tables: from files to rows that the walker in the kernel reads (bpf/table.h draws them).
//
//   a sample's walk misses something --unwind_need--> queue --unwind_step--> file -> rows -> blocks
//                                                                   -> pages -> published
//
// What is loaded is what samples hit: a process's mappings when it is first sampled, a MiB of a
// file's code when a stack goes through it. Files are shared by all processes that map them. All of
// it, BPF's maps included, stays under `memory`; beyond it the windows not used for longest go.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unwind;
struct kernel_tables;
struct process;
struct processes;
struct record_sample;

struct unwind_options {
	const struct kernel_tables *tables; // borrowed
	struct processes *processes;	    // borrowed
	uint64_t memory;		    // bytes at most, all of the above and what is built
	// unwind_step has something to do; called once until it returned 0.
	void (*on_busy)(void *arg);
	void *arg;
};

struct unwind *unwind_new(const struct unwind_options *options); // NULL + errno
void unwind_free(struct unwind *u);
// The walk of sample R of P missed something (R->need): it is queued, or known not to be had.
void unwind_need(struct unwind *u, struct process *p, const struct record_sample *r);
// P began to execute a program, at NOW: nothing of the one before is published any more. As its
// mappings are told it is published ahead of its first sample, the only one that a short process
// has.
void unwind_execed(struct unwind *u, const struct process *p, uint64_t now);
// The executable mappings of P changed: what is published of it is published anew by the next step.
void unwind_changed(struct unwind *u, const struct process *p);
// P has ended: nothing of it is published any more.
void unwind_gone(struct unwind *u, const struct process *p);
// 1 more; 0 nothing to do now. To be called about ten times a second even so: what was replaced
// rests that long before its place is used again, and what waits for that, or is not due yet, goes
// on.
int unwind_step(struct unwind *u, uint64_t budget_ns);
uint64_t unwind_shrink(void *u, uint64_t need); // for budget: lets go what is unused for longest

struct unwind_figures {
	uint64_t bytes, pages;	       // of the kernel's tables, now
	uint64_t windows, rows;	       // loaded now
	uint64_t row_bytes;	       // of those rows' blocks, dictionaries included
	uint64_t processes;	       // published now
	uint64_t built_rows, build_ns; // in all, to tell the price of a row
	uint64_t loads, evicted, refused,
	    failed; // windows, in all; refused: no room (processes too)
};
void unwind_figures(const struct unwind *u, struct unwind_figures *f);
