// SPDX-License-Identifier: Apache-2.0
// Go's own heap, mutex and block profiles, read out of the memory of the processes: no code of ours
// runs there, and nothing waits for us. Go keeps each as a list of buckets, one per stack (and
// size), which are never freed and never change their place; new ones come in front:
//
//   runtime.mbuckets -> bucket n -> ... -> bucket 1 -> bucket 0     counts since the program began
//
// So what happened since the last reading is the difference to what was marked then, by ordinals
// from the end of the list; what is in use needs no mark.
//
// The memory is anybody's and changes while it is read: all is bounded, each bucket is checked, and
// its figures are taken when two readings of them were the same.
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct goprof;

#define GOPROF_DEPTH_MAX 1024	 // frames; Go's own most
#define GOPROF_BUCKETS_MAX 65536 // of one list; what lies behind is left out (COUNT_GO_CUT)

enum goprof_list { GOPROF_HEAP, GOPROF_MUTEX, GOPROF_BLOCK, GOPROF_LISTS };

struct goprof_options {
	uint64_t marks_max; // bytes of marks at most, over all processes; 0: 2 MiB
	uint32_t lists;	    // 1 << enum goprof_list: those that are read
};
struct goprof *goprof_new(const struct goprof_options *options); // NULL + errno
void goprof_free(struct goprof *g);

enum goprof_kind { GOPROF_UNKNOWN, GOPROF_NONE, GOPROF_HIDDEN, GOPROF_READABLE };
// What is known of the program in the file BINARY (an id): not looked at yet; not Go's; Go's, but
// nobody can tell where its lists are (stripped, and not of x86-64 or of a new version); or Go's.
enum goprof_kind goprof_kind(const struct goprof *g, uint32_t binary);

struct goprof_target {
	uint32_t process, binary; // ids
	int program;   // its file, borrowed for goprof_begin; not asked for where it is known
	int memory;    // of the process; the reading's from goprof_begin on
	uint64_t bias; // what is added to link-time addresses
	bool whole;    // all of its life is wanted: there need be no reading before
};

// Of one bucket. Figures are scaled up from what Go sampled, as its own pprof does.
struct goprof_sample {
	enum goprof_list list;
	uint32_t depth;
	const uint64_t *stack;	  // return addresses, leaf first
	int64_t count, value;	  // since the last reading: objects and bytes, or waits and ns
	int64_t held, held_value; // GOPROF_HEAP: in use after the last collection: objects, bytes
};

// What the program has turned on, 0: off. Of a heap that is off nothing is told.
struct goprof_rates {
	uint64_t heap;	// bytes between two samples
	uint64_t mutex; // one of so many
	uint64_t block; // in ticks
};

// One process at a time. 0 or -errno (then MEMORY is closed).
int goprof_begin(struct goprof *g, const struct goprof_target *target);
// 1 more, 0 read, -errno: -ENOENT where goprof_kind says why, -EBADMSG where that is no list,
// -ESTALE where its end was not found. TOLD may allocate.
int goprof_step(struct goprof *g, uint64_t budget_ns,
    void (*told)(void *arg, const struct goprof_sample *sample), void *arg);
void goprof_end(struct goprof *g);				 // also in the middle
const struct goprof_rates *goprof_rates(const struct goprof *g); // of the process being read

// Forgets the marks of processes that are not ALIVE.
void goprof_sweep(struct goprof *g, bool (*alive)(void *arg, uint32_t process), void *arg);
