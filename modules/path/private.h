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
#include "../unwind/unwind.h"
#include "../tape/tape.h"

enum ship_phase { SHIP_NAME, SHIP_KEEP, SHIP_MERGE, SHIP_WRITE };

// The names that the sealed window still wants, asked for in one job.
struct naming {
	struct symbol_job *job;
	struct place *places; // until the job has them
	uint32_t *frames;     // frame of each place
	uint32_t count, next; // places; frames looked at
	bool refused;	      // no memory: frames say so themselves
};

struct path {
	struct path_options options;
	struct processes *processes;
	struct symbol *symbol;
	struct unwind *unwind; // NULL: none
	struct kernel *kernel;
	struct tape_writer *tape;
	// take: the window being filled
	struct profile *current;
	struct map mappings; // binary id -> mapping id in `current`
	uint32_t kernel_mapping;
	struct map kernel_functions; // address -> enum kernel_function (loading.c)
	uint64_t window_began, window_wall;
	// When it ends, while what was sampled until then is still drained; 0: it goes on. Times
	// of clock_now(), as the kernel's are:
	//
	//   |window_began ------ current ------ close_at| SETTLE_NS |
	//                                     taken ->  s  s     s     <- the first of the next
	//                                                             window seals this one
	uint64_t close_at;
	uint64_t stopped_ns; // sampling ended
	struct path_totals totals;
	uint64_t counters[KERNEL_COUNTER_COUNT]; // as of the last close

	// ship: the window that is sealed (NULL: none)
	struct profile *sealed;
	enum ship_phase phase;
	struct naming naming;
	bool keeping; // the history was given the window
	bool close_wanted;

	// upload: all windows since the last file, merged, unsealed until it is written
	struct profile *upload;
	const struct profile *writing; // `upload` or `sealed`
	struct profile_merge *merge;
	bool upload_wanted;
	uint64_t upload_due, closed_ns; // clock_now() time; when `sealed` was closed
	struct watch *wake;		// the kernel wants to be drained now
	struct timer *drain_timer, *window_timer, *cpu_timer;
	struct slice *scan_slice, *ship_slice, *replay_slice, *finish_slice, *read_slice,
	    *unwind_slice;
	uint64_t unwind_ns;	       // when the tables were last looked after
	uint64_t drain_ns, drained_ns; // how long until the next; when the last was
	uint64_t drained_bytes;	       // since the kernel's ring was last empty
	bool more;		       // the last drain left some
	bool scanned;
	bool finishing; // no more samples come: once shipped, `current` is NULL
	void (*finished)(void *arg);
	void *finished_arg;
	// replay
	struct tape_reader *reader;
	void (*replayed)(void *arg, int result);
	void *replayed_arg;
	bool began;	 // its META has been read
	bool names_wait; // the sealed window waits for the tape's word that its names have passed
	int replay_result;
	uint64_t tape_offset;		      // from a record's clock to wall time
	uint64_t tape_at;		      // wall time of the last record or window
	uint64_t tape_wall;		      // where the current window begins by the tape's clock
	uint64_t tape_first_ns, tape_last_ns; // records of the current window, 0: none
};

// path.c
bool path_drain(struct path *p);  // takes some of what the kernel has: true where there is more
#define SETTLE_NS (2 * NS_PER_MS) // after it no sample is still on its way into the ring
// take.c
int take_window_new(struct path *p, uint64_t began_ns); // time of clock_now()
// loading.c
int take_is_loading(void *arg, const struct record_sample *r);
// learn.c
void learn_process(void *arg, struct process *process);
void learn_mapping(void *arg, const struct process *process, const struct process_mapping *m);
int learn_scan_step(void *arg, uint64_t budget_ns);
void learn_busy(void *arg);
void learn_unwind(struct path *p, const struct record *r); // a mapping event, an exec, an exit
// ship.c
void naming_free(struct naming *n);
void ship_close(struct path *p);   // ends the current window now, or notes that it is wanted
void ship_drained(struct path *p); // all that was sampled until `close_at` has been taken
void ship_close_if_wanted(struct path *p);
void ship_seal(struct path *p, uint64_t wall_ns, uint64_t duration_ns);
void ship_named(struct path *p); // replay: names have passed
// upload.c: steps of shipping; 1 more, 0 done
int upload_merge(struct path *p, uint64_t budget_ns);
int upload_write(struct path *p, uint64_t budget_ns);
// recording.c
void tape_put_meta(struct path *p);
void tape_put_record(struct path *p, const struct record *r);
void tape_put_process(struct path *p, const struct process *process);
void tape_put_mapping(
    struct path *p, const struct process *process, const struct process_mapping *m);
void tape_put_name(struct path *p, const struct profile_frame *f, const struct symbol_answer *a);
void tape_put_lost(struct path *p, const char *mark, uint64_t samples);
void tape_put_window(struct path *p, uint64_t wall_ns, uint64_t duration_ns);
void tape_put_named(struct path *p);
