// SPDX-License-Identifier: Apache-2.0
// The pprof reader's state; private to this room.
//
//   raw  [all bytes, unpacked]  read three times, since tables may come after what names them:
//        count what is there -> keep where it is (strings, mappings, functions, locations) ->
//        samples
//
// What is named by an id is kept sorted by id, so that a file's own order and gaps cost no more
// than a search.
#pragma once
#include "pprof.h"

enum import_phase {
	IMPORT_FEED, // import_feed
	IMPORT_COUNT,
	IMPORT_KEEP,
	IMPORT_SORT,
	IMPORT_MAPPINGS,
	IMPORT_LOCATIONS,
	IMPORT_SAMPLES,
	IMPORT_DONE,
};

struct import_string {
	uint32_t at, length; // in raw
	uint32_t name;	     // in the profile, 0: not added yet
};
struct import_span {
	uint64_t id;
	uint32_t at, length; // in raw
};
struct import_mapping {
	struct import_span span;
	uint32_t mapping; // in the profile, 0: none is needed
	uint32_t kind;	  // of frames in it
};
struct import_function {
	uint64_t id;
	uint32_t name, system_name; // strings
};
struct import_location {
	struct import_span span;
	uint32_t first, count; // in `frames`
};
struct import_items { // sorted by the id that each begins with
	void *items;
	uint32_t size, count, filled;
	bool unsorted;
	const char *what; // "function"
};

struct import_job {
	enum account account;
	uint64_t bytes_max;
	int error;
	char why[200];
	enum import_phase phase;
	uint8_t head[2]; // tells gzip from plain
	uint32_t head_length;
	struct wire_gunzip *gunzip;
	struct text raw;
	struct wire_in at;
	uint32_t next; // item of a phase

	struct import_string *strings;
	uint32_t string_count, strings_filled;
	struct import_items mappings, functions, locations;
	struct text frames; // uint32_t frame ids of all locations
	struct wire_in types[PROFILE_VALUES_MAX], period_type;
	uint32_t type_count;
	uint64_t time, duration, period, comment, default_type;
	struct profile *p;
	uint32_t stack[PROFILE_STACK_MAX];
};

// Keeps ERROR and what FORMAT says of it as the job's; returns it.
int import_fail(struct import_job *j, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void *import_find(const struct import_items *t, uint64_t id); // or NULL
// The name of string INDEX; OWNER says who asks. 0 or the job's error.
int import_name(struct import_job *j, uint64_t index, const char *owner, uint32_t *name);
static inline struct wire_in import_raw(const struct import_job *j, uint32_t at, uint32_t length)
{
	const uint8_t *start = (const uint8_t *)j->raw.at + at;
	return (struct wire_in){start, start + length};
}

int import_keep(struct import_job *j, const struct wire_field *f); // a field of the top level
int import_start_profile(struct import_job *j);
int import_mapping(struct import_job *j, uint32_t i);
int import_location(struct import_job *j, uint32_t i);
int import_sample(struct import_job *j, struct wire_in in);
