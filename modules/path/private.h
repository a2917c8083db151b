// SPDX-License-Identifier: Apache-2.0
// What learn, take and ship share.
#pragma once
#include "path.h"
#include "../base/base.h"
#include "../export/export.h"
#include "../filter/filter.h"
#include "../kernel/kernel.h"
#include "../label/label.h"
#include "../loop/loop.h"
#include "../proc/proc.h"
#include "../process/process.h"
#include "../symbol/symbol.h"
#include "../tape/tape.h"

enum ship_phase { SHIP_NAME, SHIP_KEEP, SHIP_MERGE, SHIP_WRITE };

struct path {
	struct path_options options;
	struct processes *processes;
	struct symbol *symbol;
	struct kernel *kernel;
	struct tape_writer *tape;

	// take: the window being filled
	struct profile *current;
	struct map mappings; // binary id -> mapping id in `current`
	uint32_t kernel_mapping;
	uint64_t window_began, window_wall;
	uint64_t window_delivered; // samples in `current` under their stacks
	struct path_totals totals;
	uint64_t counters[KERNEL_COUNTER_COUNT]; // as of the last close

	// ship: the window that is sealed (NULL: none)
	struct profile *sealed, *upload;
	enum ship_phase phase;
	struct symbol_job *names;
	uint32_t *name_frames; // frame of each place that was asked for
	struct profile_merge *merge;
	bool close_wanted, upload_wanted, wrote;
	uint64_t upload_due;

	struct timer *drain_timer, *window_timer, *cpu_timer;
	struct slice *scan_slice, *ship_slice, *replay_slice, *finish_slice, *read_slice;
	uint64_t drain_ns;
	bool scanned;

	bool finishing; // no more samples come: once shipped, `current` is NULL
	void (*finished)(void *arg);
	void *finished_arg;

	// replay
	struct tape_reader *reader;
	void (*replayed)(void *arg, int result);
	void *replayed_arg;
	bool names_wait; // the sealed window waits for the tape's word that its names have passed
	int replay_result;
};

// take.c
int take_window_new(struct path *p);
void take_sample(struct path *p, const struct record_sample *r);
// learn.c
void learn_process(void *arg, struct process *process);
void learn_mapping(void *arg, const struct process *process, const struct process_mapping *m);
int learn_scan_step(void *arg, uint64_t budget_ns);
void learn_busy(void *arg);
// ship.c
void ship_close(struct path *p); // seals the current window, or notes that it is wanted
void ship_seal(struct path *p, uint64_t wall_ns, uint64_t duration_ns);
void ship_named(struct path *p); // replay: names have passed
// recording.c: facts of the tape
enum tape_kind {
	TAPE_META = 1, // struct tape_meta
	TAPE_RECORD,   // a kernel record
	TAPE_PROCESS,  // struct tape_process
	TAPE_MAPPING,  // struct tape_mapping + path
	TAPE_NAME,     // struct tape_name + name NUL system name NUL
	TAPE_LOST,     // struct tape_lost + label NUL
	TAPE_WINDOW,   // struct tape_window: the window closes here
	TAPE_NAMED,    // all names of the window before have passed
};
void tape_put_meta(struct path *p);
void tape_put_record(struct path *p, const struct record *r);
void tape_put_process(struct path *p, const struct process *process);
void tape_put_mapping(struct path *p, const struct process *process, const struct process_mapping *m);
void tape_put_name(struct path *p, const struct place *place, const struct symbol_answer *a);
void tape_put_lost(struct path *p, const char *mark, uint64_t samples);
void tape_put_window(struct path *p, uint64_t wall_ns, uint64_t duration_ns);
void tape_put_named(struct path *p);
