// SPDX-License-Identifier: Apache-2.0
// One profile: what was sampled in one window (or several merged), of one type. The same structure is
// a window being filled, a sealed window, a merged upload, a pprof file read back.
//
//   names     every string once; id 0 is ""
//   mappings  [1..] file, build-id            <- a frame's `mapping`
//   frames    [1..] kind, owner, address -> name   (a "location")
//   stacks    [1..] frame ids, leaf first
//   subjects  [1..] pid, tid, comm, container, other labels
//   samples   (stack, subject) -> values[], summed
//
// Every table interns: adding the same thing again gives the same id. All memory is the account given
// at the start; when an addition finds no memory the sample is counted under the mark "[lost: store
// full]", which is made at creation, so that totals always hold.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/base.h"

#define PROFILE_VALUES_MAX 4
#define PROFILE_STACK_MAX 4096 // frames
#define PROFILE_LABELS_MAX 128 // labels of one set

// What a type of profile measures: the conventions that pprof's readers share.
struct profile_type {
	const char *name; // "cpu"
	uint32_t value_count;
	struct profile_unit {
		const char *type, *unit;
	} values[PROFILE_VALUES_MAX];
	struct profile_unit period;
	uint32_t default_value; // index of the value shown first
	bool state; // it says what was at its end: of several windows the last holds, no sum
};
// Known types ("cpu"), or NULL.
const struct profile_type *profile_type_find(const char *name);
// The known type that measures exactly these VALUES (not looking at the period), or NULL.
const struct profile_type *profile_type_match(const struct profile_unit *values, uint32_t count);

enum frame_kind {
	FRAME_NATIVE,
	FRAME_KERNEL,
	FRAME_JIT,
	FRAME_MARK, // not code: [lost: ...], [truncated: ...]; named at creation
};

struct profile_mapping {
	uint64_t key;	// the caller's (binary id); part of identity
	uint64_t start, limit, offset;
	uint32_t file, build_id; // names; build-id as lowercase hex
};
struct profile_frame {
	uint64_t address; // link-time vaddr, kernel or JIT address
	uint32_t owner;	  // the caller's (binary or process id); part of identity
	uint32_t place;	  // the caller's place kind; part of identity
	uint32_t mapping; // 0: none
	uint32_t name, system_name; // 0: not named yet
	uint32_t kind;	  // enum frame_kind
};
struct profile_label { // beyond the fixed ones of a subject
	uint32_t key, str; // str 0: numeric
	int64_t num;
	uint32_t num_unit, pad;
};
struct profile_subject {
	uint32_t pid, tid;
	uint32_t comm;	    // of the thread
	uint32_t process;   // comm of the process
	uint32_t container; // id, 64 hex
	uint32_t labels;    // id of a label set, 0: none
	// Label set that tells whose process it is ("service.name", "k8s.pod.name"), the same for all its samples;
	// 0: none. As labels of samples only some of it is written, under shorter names (export).
	uint32_t resource;
};
struct profile_sample {
	uint32_t stack, subject;
	int64_t values[]; // value_count of them
};

struct profile_header {
	const struct profile_type *type; // NULL for a foreign profile whose types are in `values`
	uint32_t value_count;
	uint32_t value_types[PROFILE_VALUES_MAX], value_units[PROFILE_VALUES_MAX]; // names
	uint32_t period_type, period_unit;					   // names
	uint32_t default_value;
	int64_t period;
	uint64_t time_ns;     // wall clock at the window's start
	uint64_t duration_ns;
	uint32_t comments; // name: one line for humans, 0: none
};

struct profile;

// TYPE must outlive the profile, unless its header's `type` is set to another. NULL + errno.
struct profile *profile_new(enum account account, const struct profile_type *type);
// A profile with the header (types, units, period) of ANOTHER and nothing in it.
struct profile *profile_new_like(enum account account, const struct profile *another);
void profile_free(struct profile *p);
struct profile_header *profile_header(struct profile *p);
const struct profile_header *profile_header_of(const struct profile *p);
struct names *profile_names(struct profile *p);
const char *profile_name(const struct profile *p, uint32_t name); // "" for 0
uint32_t profile_find_name(const struct profile *p, const char *s); // 0: it is none, or ""
size_t profile_bytes(const struct profile *p);

// Each gives an id, or 0 + ENOMEM. Not to be called once the profile is sealed.
uint32_t profile_add_name(struct profile *p, const char *s); // 0 for ""
uint32_t profile_add_mapping(struct profile *p, const struct profile_mapping *m);
// Identity of a frame: (place, owner, address) where `place` is set, else all its fields. Of a mapping and a
// subject: all fields.
uint32_t profile_add_frame(struct profile *p, const struct profile_frame *f);
uint32_t profile_add_mark(struct profile *p, const char *name); // a FRAME_MARK frame
// At most PROFILE_STACK_MAX frames; a frame of id 0 (that found no memory) makes the stack 0 too.
uint32_t profile_add_stack(struct profile *p, const uint32_t *frames, uint32_t count);
uint32_t profile_add_labels(struct profile *p, const struct profile_label *labels, uint32_t count);
uint32_t profile_add_subject(struct profile *p, const struct profile_subject *s);
// Adds VALUES to the sample (stack, subject). STACK or SUBJECT 0, or no memory: the values go to "[lost:
// store full]" and -ENOMEM is returned; never lost.
int profile_add(struct profile *p, uint32_t stack, uint32_t subject, const int64_t *values);
// Values under a mark of their own, e.g. "[lost: ring full]".
int profile_add_lost(struct profile *p, const char *mark, const int64_t *values);

// Sealing: samples, stacks, frames and subjects stand still (addresses stay valid); only names of
// frames may still be set.
void profile_seal(struct profile *p);
// Name of a frame (and its system name, NULL if the same); allowed after the seal. -ENOMEM: the frame
// keeps the shared name "[unnamed: memory]".
int profile_set_frame_name(struct profile *p, uint32_t frame, const char *name, const char *system_name);

uint32_t profile_name_count(const struct profile *p);    // the empty one included
uint32_t profile_mapping_count(const struct profile *p); // ids run from 1 to the count
uint32_t profile_frame_count(const struct profile *p);
uint32_t profile_stack_count(const struct profile *p);
uint32_t profile_subject_count(const struct profile *p);
// Samples are 0..count-1; the first is always "[lost: store full]", with zero values unless it was needed.
uint32_t profile_sample_count(const struct profile *p);
const struct profile_mapping *profile_mapping(const struct profile *p, uint32_t id);
const struct profile_frame *profile_frame(const struct profile *p, uint32_t id);
const uint32_t *profile_stack(const struct profile *p, uint32_t id, uint32_t *count);
const struct profile_label *profile_labels(const struct profile *p, uint32_t id, uint32_t *count);
const struct profile_subject *profile_subject(const struct profile *p, uint32_t id);
const struct profile_sample *profile_sample(const struct profile *p, uint32_t index);
void profile_totals(const struct profile *p, int64_t totals[PROFILE_VALUES_MAX]);

// Adds what WANTED (NULL: all) takes of FROM to INTO, times SCALE (1, or -1 for a difference); in slices.
// Frames become equal by name, mapping file and address, not by the caller's keys. INTO's time becomes the
// earliest and its duration the sum. INTO must be open, and is best one of profile_new_like: frames that the caller
// added by place stay apart. NULL + errno: EINVAL where it is sealed or they do not measure the same.
struct profile_merge;
struct profile_merge *profile_merge_new(struct profile *into, const struct profile *from, int scale,
    bool (*wanted)(void *arg, const struct profile *from, const struct profile_subject *s), void *arg);
// Each sample that has no label KEY (borrowed) gets one with what VALUE says of its stack; NULL: it is left
// out. Before the first step.
void profile_merge_label(struct profile_merge *m, const char *key,
    const char *(*value)(void *arg, const struct profile *from, uint32_t stack), void *arg);
// Labels KEY (borrowed) are left out; samples that become equal are summed. Before the first step.
void profile_merge_without(struct profile_merge *m, const char *key);
void profile_merge_without_resources(struct profile_merge *m); // likewise, of subjects
// Only these COUNT samples of FROM (borrowed), and of a stack deeper than DEPTH (0: none is) the frames of its middle
// give way to the mark "[truncated: too deep]". Before the first step.
void profile_merge_only(struct profile_merge *m, const uint32_t *samples, uint32_t count, uint32_t depth);
int profile_merge_step(struct profile_merge *m, uint64_t budget_ns); // 1 more, 0 done
void profile_merge_free(struct profile_merge *m);
