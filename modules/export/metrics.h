// SPDX-License-Identifier: Apache-2.0
// Sums and distributions over the life of a destination; private to this room.
//
//   sets[]      one for each type of profile
//     owners[]  resources, as bytes         <- a series' `owner`
//     series[]  (owner, attributes as bytes) -> count, value, distribution since `start_ns`
//     overflow  what found no place among them
#pragma once
#include "logs.h"

#define SERIES_MAX 4096	       // of a set
#define SERIES_IDLE_MAX 15     // profiles without a sample of it, then a series ends
#define SERIES_NONE UINT32_MAX // as an index: the overflow

struct series {
	void *block; // buckets, then attributes; NULL: a free place
	uint64_t hash;
	uint64_t start_ns;
	int64_t count, value;
	uint64_t observed; // times that the distribution was added to
	double sum, min, max;
	uint64_t fresh;				 // samples of the profile that was put last
	uint32_t attributes_length, owner, next; // of its owner's; + 1
	uint32_t idle;
};
struct owner {
	char *bytes; // NULL: a free place
	uint64_t hash;
	uint32_t length, series; // the first + 1
};
struct series_set {
	struct agent_type type;
	char name[32]; // of the type; "": not used yet
	const double *bounds;
	uint32_t bound_count;
	bool state; // counts and values are of the last profile alone
	struct series *series;
	uint32_t series_count, series_cap, series_free; // no place before `series_free` is free
	struct map by_hash;
	struct owner *owners;
	uint32_t owner_count, owner_cap;
	struct map owner_by_hash;
	struct series overflow;
	uint64_t time_ns; // up to when
};

struct point {
	const struct series_set *set;
	const struct series *series;
	const struct metric *metric;
};
enum { POINT_ATTRIBUTES = 7 }; // the field under which a series keeps its attributes
void point_fill(struct wire_out *o, const void *point);

// A set for TYPE; BOUNDS are borrowed. -ENOMEM.
int series_set_init(struct series_set *set, const struct agent_type *type, bool state,
    const double *bounds, uint32_t count);
void series_set_free(struct series_set *set);
// A profile of [start, end) follows.
void series_begin(struct series_set *set, uint64_t start_ns, uint64_t end_ns);
// The series of (owner, attributes), made where it is new; the overflow where there is no place.
struct series *series_find(struct series_set *set, const struct text *owner,
    const struct text *attributes, uint64_t start_ns);
void series_add(const struct series_set *set, struct series *s, int64_t count, int64_t value,
    double observation);
// After the last sample of a profile: the chains of the owners are made anew.
void series_chain(struct series_set *set);
// What was not seen for long goes; its place is free again.
void series_expire(struct series_set *set);
const struct series *series_at(const struct series_set *set, uint32_t index);
const uint64_t *series_buckets(const struct series *s);
struct wire_in series_attributes(const struct series_set *set, const struct series *s);
