// SPDX-License-Identifier: Apache-2.0
// Profiles as series, for Pyroscope (push.v1.PushRequest) and Parca (WriteRawRequest); private to this room.
//
//   subjects -> groups of the same labels -> order[samples, a group's side by side]
//   group    -> parts (under the receivers' limits) -> profile -> gzipped pprof -> a series in the body
//
// Of one part at a time the compressed pprof is in memory, for its length is written before it.
#pragma once
#include "requests.h"

#define SERIES_LABELS_MAX 28   // Pyroscope takes 30, two of which it may add itself
#define SERIES_VALUE_MAX 2048  // bytes of a label's value
#define SERIES_NAME_MAX 128    // and of its name
#define SERIES_SAMPLES_MAX 16000
#define SERIES_DEPTH_MAX 1000  // Pyroscope would cut off the leaves
#define SERIES_PPROF_MAX (4u << 20) // before compression

struct series_labels { // sorted by name, each name once
	struct text text; // "name\0value\0"...
	uint32_t count;
	struct {
		uint32_t name, value; // in `text`
	} at[SERIES_LABELS_MAX];
};
struct series_group {
	uint32_t subject;      // one of those in it
	uint32_t first, count; // its samples in `order`
};
enum series_phase {
	SERIES_SUBJECTS, // to their groups
	SERIES_COUNT,	 // how many samples a group has
	SERIES_ORDER,
	SERIES_PART, // the next part begins, of the next group perhaps
	SERIES_PPROF,
	SERIES_WRITE,
	SERIES_CLOSE,
	SERIES_END,
};
struct series_job {
	struct requests r;
	enum series_phase phase, after; // AFTER the body is closed
	uint32_t next;
	uint32_t *group_of; // subject -> group + 1; 0: there was no memory for it
	uint32_t *order;
	struct series_group *groups;
	uint32_t group_count, group_cap;
	uint64_t seed;	     // of hashes
	struct map whose;    // hash of a subject's ids -> the first subject that has them
	struct map labelled; // hash of labels -> group
	struct series_labels labels, others;
	// The part at work: order[from] and following, of groups[group].
	uint32_t group, from, count, part;
	uint32_t most; // samples that a part of the group may have
	uint64_t weight;
	struct profile *profile;
	struct profile_merge *merge;
	struct export_job *job;
	struct text pprof;
	char id[37]; // of the part
};
static inline bool series_is_parca(const struct series_job *j)
{
	return j->r.options.kind == REQUESTS_PARCA;
}


// The part at work, in slices: 1 more, 0 done (`pprof`), -EFBIG (too large), -ENOMEM.
int series_part_new(struct series_job *j);
int series_part_step(struct series_job *j, uint64_t budget_ns);
void series_part_free(struct series_job *j);

// The labels of a subject's series: 0 or -ENOMEM.
int series_labels_of(const struct series_job *j, uint32_t subject, struct series_labels *l);
// Finds or makes the group of SUBJECT; without memory it stays in none.
void series_group_of(struct series_job *j, uint32_t subject);
