// SPDX-License-Identifier: Apache-2.0
// What learn, take and ship share.
#pragma once
#include "path.h"
#include "../base/base.h"
#include "../deliver/deliver.h"
#include "../export/export.h"
#include "../filter/filter.h"
#include "../goprof/goprof.h"
#include "../heap/heap.h"
#include "../kernel/kernel.h"
#include "../label/label.h"
#include "../loop/loop.h"
#include "../proc/proc.h"
#include "../process/process.h"
#include "../symbol/symbol.h"
#include "../unwind/unwind.h"
#include "../tape/tape.h"
#include "blocked.h"
#include "live.h"
#include "share.h"

// Growth of mapped memory, too little of a process to be a sample.
#define MAPPED_SMALL "[small growth, not sampled]"

enum ship_phase { SHIP_NAME, SHIP_LOCKS, SHIP_KEEP, SHIP_MERGE, SHIP_WRITE, SHIP_DELIVER };

// The names that the sealed window still wants, asked for in one job.
struct naming {
	struct symbol_job *job;
	struct place *places; // until the job has them
	uint32_t *frames;     // frame of each place
	uint32_t count, next; // places; frames looked at
	bool refused;	      // no memory: frames say so themselves
};

// A profile that is being filled.
struct filling {
	struct profile *profile; // NULL: its type is not wanted, or the last window is sealed
	struct map mappings;	 // binary id -> mapping id in `profile`
	struct map resources;	 // process_resource.id -> label set id in `profile`
	// Content -> id in `profile`. By 64 bits of a hash that nobody outside can choose: that two
	// of a window have the same is less likely than that its memory errs.
	struct map stacks, subjects;
	uint32_t kernel_mapping;
};

// Who was the last to be met, "app (42)", that keeps a profile and was read for more than a mark;
// that keeps none; whose profiles are not found; whose memory may not be read. "": nobody.
#define WHO_LEN 32
struct kept {
	char keeps[GOPROF_LISTS][WHO_LEN], none[GOPROF_LISTS][WHO_LEN];
	char hidden[WHO_LEN], refused[WHO_LEN];
};

// A round over the processes whose programs profile themselves: at the end of each window.
struct round {
	struct goprof *goprof; // NULL: not wanted
	uint32_t *pids, count, next;
	uint32_t first;	 // in pids: where the round before ended for want of time
	uint32_t window; // number of that which was read last
	uint64_t began_ns, cost_ns;
	uint64_t rest_ns;	  // none before, see round.c
	uint64_t started_ns;	  // CLOCK_BOOTTIME when the path began
	bool runs, reading;	  // reading: the process at hand
	bool marks, close_wanted; // it tells nothing; a window is to close when it is through
	// The process at hand and where its program is mapped.
	uint32_t process, binary;
	uint64_t start, end, bias;
	uint32_t told; // places of this round
	struct slice *slice;
	struct kept kept;
};

// What the agent's CPU is held to: its use since the last judgement.
//
//   thread, switches, stacks    each second --+--> used[] --JUDGED_NS--> above the limit: every * 2
//                                                                        long below: every / 2
enum { USED_THREAD, USED_SWITCHES, USED_STACKS, USED_KINDS };
struct govern {
	struct timer *timer;	   // NULL: there is no limit
	uint64_t last[USED_KINDS]; // as they were at `judged_ns`
	uint64_t judged_ns;
	uint32_t every, quiet; // rates are 1/every; judgements in a row far below the limit
	uint32_t use;	       // millionths of a core, at the last judgement
	bool begun;	       // the start is over, which costs more
};

#define LIVE_LOSERS 64 // as many as are probed at a time

struct path {
	struct path_options options;
	struct processes *processes;
	struct symbol *symbol;
	struct unwind *unwind; // NULL: none
	struct heap *heap;     // likewise
	struct kernel *kernel;
	struct tape_writer *tape;
	// take: the window being filled
	struct filling current[PATH_TYPE_COUNT];
	uint64_t seed; // of the hashes in these
	bool over;		     // the last one is sealed
	uint32_t window_number;	     // of the current one, from 1
	// Of the sample at hand, with room for so many places: STACK_MAX, or WOKEN_MAX.
	struct blocked_stack *stack;
	uint32_t stack_room;
	struct blocked *blocked;     // NULL: no type wants time off the CPU
	struct live *live;	     // NULL: no allocator is probed
	double alloc_rest[2];	     // objects and bytes: what rounding has left out so far
	// Of blocks whose end will not be told, by who has them: the last place is also for all others.
	struct live_loss {
		uint32_t pid; // 0: nobody's, and all behind it
		bool ended;   // it is told once more
		int64_t values[2];
	} live_lost[LIVE_LOSERS];
	bool live_told;		     // in the window being filled
	struct shares *shares;	     // likewise; of this window
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
	uint64_t huge_unseen, huge_unseen_bytes; // likewise

	// ship: the profiles of the window that is sealed; `sealed` is the one that is being
	// shipped (NULL: none), `waiting` those that come after it
	struct profile *sealed, *waiting[PATH_TYPE_COUNT];
	enum path_type shipping; // type of `sealed`
	bool nothing;		 // that window is none: it is neither kept nor told
	enum ship_phase phase;
	struct naming naming;
	struct profile *classified; // what becomes of `sealed`, see locks.c
	bool keeping;		    // the history was given the window
	bool close_wanted;
	uint64_t close_soon; // since then the ring is being emptied for it; 0: it is not

	// upload: all windows since the last one, merged, unsealed until it is shipped
	struct profile *upload[PATH_TYPE_COUNT];
	const struct profile *writing; // one of `upload`, or `sealed`
	struct profile_merge *merge;
	bool upload_wanted, uploaded;	// uploaded: one was shipped with this window
	uint64_t upload_due, closed_ns; // clock_now() time; when `sealed` was closed
	struct watch *wake;		// the kernel wants to be drained now
	struct timer *drain_timer, *window_timer, *cpu_timer;
	struct slice *scan_slice, *ship_slice, *replay_slice, *finish_slice, *read_slice,
	    *unwind_slice;
	// The look that runs is until this time, 0: for stacks only; one until close_at is wanted;
	// there are looks at all.
	struct timer *look_timer;
	struct slice *look_slice;
	uint64_t look_until;
	bool look_wanted, looks;
	bool look_again;      // the look that runs is only for stacks that lacked rows, or
	bool look_lost;	      // for all
	bool rows_lacked;     // by a stack, since a look began
	bool rows_came;	      // since then
	bool stacks_lost;     // of a block that goes on, since such a look began
	uint64_t look_began;  // clock_cpu() time
	uint64_t look_due;    // clock_now() time: the next usual one
	uint64_t look_rested; // likewise: there may be one again
	struct govern govern;
	struct round round;
	uint32_t told_types;	       // 1 << enum path_type: programs have told something of it
	uint64_t squeeze;	       // bytes that were asked back
	uint64_t unwind_ns;	       // when the tables were last looked after
	uint64_t drain_ns, drained_ns; // how long until the next; when the last was
	uint64_t drained_bytes;	       // since the kernel's ring was last empty
	bool more;		       // the last drain left some
	bool resting;		       // see on_wake
	uint64_t rested_ns;	       // since then
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
void path_rest(struct path *p, bool on); // what wakes us waits
bool path_drain(struct path *p);  // takes some of what the kernel has: true where there is more
#define SETTLE_NS (2 * NS_PER_MS) // after it no sample is still on its way into the ring
// frames.c
#define STACK_MAX (KERNEL_FRAMES_MAX + FRAMES_MAX)
#define WOKEN_MAX (2 * STACK_MAX) // with that of the waker
int stack_open(struct path *p);	  // makes p->stack as the options want it: 0 or -ENOMEM
// The stack of R into p->stack.
void frames_of(struct path *p, struct process *process, const struct record_sample *r);
// Adds S to the profile that F fills, above it LEAF (a mark; NULL: none): a stack's id, 0 without
// memory. PROCESS may be NULL: not known any more. DONE: what a waker did to S ("woken", "held") is
// between both, with its stack; NULL: it is left out.
uint32_t frames_add(struct path *p, struct filling *f, const struct process *process,
    const struct blocked_stack *s, const char *leaf, const char *done);
// off.c
int off_open(struct path *p); // 0 or -ENOMEM
void off_sample(struct path *p, const struct process *process, const struct record_sample *r);
// These give true where R belongs onto a tape.
bool off_block(struct path *p, const struct record_block *r);
bool off_waker(struct path *p, const struct record_sample *r);
// alloc.c
int alloc_open(struct path *p); // 0 or -ENOMEM
void alloc_sample(struct path *p, const struct process *process, const struct record_sample *r);
void alloc_lose(struct path *p, const struct record_sample *r, const char *mark);
bool alloc_free(struct path *p, const struct record_free *r); // true where it belongs onto a tape
void alloc_changed(struct path *p, const struct record *r);   // a mapping event, an exec, an exit
// What the kernel lost since its counters were as p->counters has them.
void alloc_losses(struct path *p, const uint64_t counters[KERNEL_COUNTER_COUNT]);
void alloc_tell(struct path *p, uint64_t end_ns); // the window ends: what is live
// look.c
int look_open(struct path *p); // 0 or -ENOMEM
// The window closes at close_at: false where there is nothing to look at; else, when the look is
// through, the drain timer goes off.
bool look_close(struct path *p);
// Rows were loaded: stacks that lacked some are taken again soon.
void look_loaded(struct path *p);
// Piece by piece the last look, when sampling has ended: true while there is more.
bool look_last(struct path *p, uint64_t until, uint64_t budget_ns);
void look_free(struct path *p);
// take.c
struct facts { // whose a sample is
	uint32_t pid, tid;
	const char *comm, *process_comm; // COMM_LEN bytes each
	const struct process *process;	 // NULL: not known any more
	const char *reason;		 // a label; NULL: none
	uint64_t lock;			 // likewise; 0: none
	const char *allocation, *age;	 // likewise; NULL: none
	const char *lock_class;		 // likewise; NULL: its stack tells
};
int take_window_new(struct path *p, uint64_t began_ns); // time of clock_now()
void take_window_free(struct path *p);
void filling_maps(struct filling *f);				// empties them
void filling_note(struct map *m, uint64_t key, uint32_t id);	// only a shortcut: may fail
uint64_t filling_hash(const char *text, uint64_t seed);		// TEXT may be NULL
// Adds VALUES to the profile of TYPE, where that is wanted. 0 or -ENOMEM: they are [lost: store
// full].
int take_add(struct path *p, enum path_type type, const struct facts *who,
    const struct blocked_stack *stack, const char *leaf, const int64_t *values);
// How many samples R stands for: a tick bears those that were left out before it (bpf/rates.h).
uint64_t take_ticks(const struct path *p, const struct record_sample *r);
// COUNT events with VALUE in all have no place of their own: in the profile of TYPE (and wall)
// under MARK.
void take_lost(
    struct path *p, enum path_type type, const char *mark, uint64_t count, uint64_t value);
// govern.c
int govern_open(struct path *p); // 0 or -ENOMEM
void govern_free(struct path *p);
// round.c
// 512 kB is what Go samples by unless it is told; figures do not depend on it.
#define GO_PERIOD (512 << 10)
struct tape_bucket;
int round_open(struct path *p);	 // 0 or -ENOMEM
void round_mark(struct path *p); // everybody is known: windows count from here
// The window is about to close: true where a round has to come first, which then closes it.
bool round_close(struct path *p);
// A piece of the last round, when sampling has ended: true while there is more.
bool round_last(struct path *p, uint64_t budget_ns);
void round_free(struct path *p);
void round_taped(struct path *p, const struct tape_bucket *b, const struct place *places);
// programs.c
void kept_who(char who[WHO_LEN], const struct process *process);
// The program of PROCESS was just read.
void kept_read(struct round *r, const struct process *process);
// What a reading of PROCESS needs, its mapping in *M: 0; -ENOENT: it is not Go's, or is not known;
// -errno.
int target_of(struct processes *processes, struct proc *proc, const struct goprof *g,
    struct process *process, struct goprof_target *target, struct process_mapping *m);
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
// locks.c
int locks_step(struct path *p, uint64_t budget_ns); // 1 more, 0 done
// upload.c: steps of shipping; 1 more, 0 done
int upload_merge(struct path *p, uint64_t budget_ns);
int upload_write(struct path *p, uint64_t budget_ns);
int upload_deliver(struct path *p, uint64_t budget_ns);
void upload_over(struct path *p); // all types of the window are shipped
// recording.c
void tape_put_meta(struct path *p);
void tape_put_record(struct path *p, const struct record *r);
void tape_put_process(struct path *p, const struct process *process);
void tape_put_mapping(
    struct path *p, const struct process *process, const struct process_mapping *m);
void tape_put_name(struct path *p, const struct profile_frame *f, const struct symbol_answer *a);
void tape_put_lost(
    struct path *p, enum path_type type, const char *mark, uint64_t count, uint64_t value);
void tape_put_window(struct path *p, uint64_t wall_ns, uint64_t duration_ns);
void tape_put_named(struct path *p);
void tape_put_bucket(struct path *p, const struct tape_bucket *b, const struct place *places);
