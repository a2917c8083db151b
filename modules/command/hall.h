// SPDX-License-Identifier: Apache-2.0
// The hall: builds the rooms bottom-up from a configuration, ties their callbacks, frees them
// top-down.
#pragma once
#include "../base/base.h"
#include "../budget/budget.h"
#include "../config/config.h"
#include "../deliver/deliver.h"
#include "../export/export.h"
#include "../filter/filter.h"
#include "../heap/heap.h"
#include "../kernel/kernel.h"
#include "../loop/loop.h"
#include "../path/path.h"
#include "../proc/proc.h"
#include "../process/process.h"
#include "../serve/serve.h"
#include "../symbol/symbol.h"
#include "../tape/tape.h"
#include "../unwind/unwind.h"
#include "hurry.h"

struct hall_options {
	const struct config *config;
	// A selection of a capture, in place of the configuration's: processes (and what they
	// fork), or lists that end in NULL (or are NULL); or all.
	const uint32_t *pids;
	uint32_t pid_count;
	const char *const *comms;
	const char *const *containers;
	const char *const *cgroups;
	bool all;
	bool alloc;		  // the allocators of `pids` are probed
	uint32_t child;		  // of these, one that has yet to execute its program; 0: none
	uint32_t types;		  // 1 << enum path_type; 0: those of the configuration
	const char *source;	  // a recording in place of the kernel, or NULL
	struct tape_writer *tape; // to record to (taken over), or NULL
	uint64_t window_ns;	  // 0: profiling.collection_interval
	bool labels;		  // profiles tell whose processes they are of: services, pods
	bool keeps;		  // history, directory, receivers and endpoint, as `run` has them
	struct history *history;  // to go on with (taken over), or NULL
	struct deliver *deliver;  // retired, to go on with (taken over), or NULL
	const struct heap_times *heap_times; // of the life before, or NULL
	void (*on_window)(void *arg, enum path_type type, const struct profile *p);
	void *arg;
};

struct hall {
	struct hall_options options;
	struct budget *budget;
	struct timer *budget_timer; // NULL: no cgroup limits us
	struct loop *loop;
	struct proc *proc;
	struct filter *filter;
	struct kernel *kernel;
	struct kernel_tables tables;
	struct unwind *unwind;
	struct heap *heap; // NULL: no allocator is probed
	struct symbol *symbol;
	struct history *history;
	struct directory *directory;
	struct deliver *deliver; // NULL: no receiver is configured
	struct deliver *retired; // of the life before, until this one goes on with it
	struct path *path;
	struct serve *serve;
	struct tape_writer *tape;
	struct tape_reader *source;
	struct timer *look;
	struct hurry hurry;
	uint32_t types;	    // 1 << enum path_type
	uint64_t period_ns; // between two ticks of the CPU's clock; 0: there are none
};

// 0; or an exit status, with one line in WHY. hall_close undoes what was done.
int hall_open(struct hall *h, const struct hall_options *options, char *why, size_t size);
// Sampling (or the replay) begins; REPLAYED is called at the end of a recording.
int hall_start(
    struct hall *h, void (*replayed)(void *arg, int result), void *arg, char *why, size_t size);
void hall_close(struct hall *h);
// Why the kernel does not permit profiles of TYPE, after hall_start of no recording; NULL: it does.
const char *hall_left_out(const struct hall *h, enum path_type type);
void hall_metrics(void *h, struct text *out); // serve_options.metrics
// False where processes are selected by what they are (not by pid), and none was there at
// hall_start or used the CPU since; true while that is not known yet. hall_say_unmatched says it on
// stderr for VERB.
bool hall_matched(const struct hall *h);
void hall_say_unmatched(const struct hall *h, const char *verb);
// Takes the history out, before hall_close; the caller's.
struct history *hall_take_history(struct hall *h);
// And, retired, what waits for receivers, or NULL: for hall_options.deliver of another life.
struct deliver *hall_take_deliver(struct hall *h);
