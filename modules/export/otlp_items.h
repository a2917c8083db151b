// SPDX-License-Identifier: Apache-2.0
// What OTLP profiles are put together from; private to this room. The job that does it: otlp.h.
#pragma once
#include "otlp_fields.h"
#include "pprof.h"

#define OTLP_WORDS(X)                                                                              \
	X(THREAD_ID, "thread.id")                                                                  \
	X(THREAD_NAME, "thread.name")                                                              \
	X(FRAME_TYPE, "profile.frame.type")                                                        \
	X(NATIVE, "native")                                                                        \
	X(KERNEL, "kernel")                                                                        \
	X(GNU_ID, "process.executable.build_id.gnu")                                               \
	X(GO_ID, "process.executable.build_id.go")                                                 \
	X(PID, "process.pid")                                                                      \
	X(EXECUTABLE, "process.executable.name")                                                   \
	X(CONTAINER_ID, "container.id")                                                            \
	X(SERVICE, "service.name")                                                                 \
	X(HOST, "host.name")
enum otlp_word {
#define X(id, s) WORD_##id,
	OTLP_WORDS(X)
#undef X
	    WORD_COUNT
};

// Which of the profile's items are in the dictionary of the body.
//   list  [0, item, item, ...]   by index
//   at    item -> index, 0: it is not
struct otlp_table {
	uint32_t *at, *list;
	uint32_t count, cap; // in `list`; items that there is room for
};
// A string is the id of a name of the profile, or after those an index into `more`; equal strings are the same one.
struct otlp_attribute {
	uint32_t key, str, unit, number; // number: it is `num`, not `str`
	int64_t num;
};
struct otlp_mapping {
	uint32_t first; // that is written alike: some differ only by what is not written
	uint32_t file;	// string
	uint32_t build_id; // attribute, 0: none
	uint64_t start, limit, offset;
};
struct otlp_location {
	uint64_t address;
	uint32_t mapping, function, type, pad; // what it refers to; 0: none
};
struct otlp_list { // attributes with different keys
	uint32_t count, dropped;
	uint32_t ids[256];
};
struct otlp_value { // how a value of the profile is written
	bool sent;
	uint32_t type, unit, period_type, period_unit; // strings
	int64_t period;
};
struct otlp_group { // the samples of one resource
	uint32_t subject; // one of them
	uint32_t count, at; // samples; where in `order`
};
struct otlp_twin { // a sample that several of the profile's are one with
	uint32_t sample; // the first of them
	int64_t values[PROFILE_VALUES_MAX];
	uint64_t weight;
};
struct otlp_part {
	uint32_t group, from, to;	    // samples in `order`
	uint64_t bytes[PROFILE_VALUES_MAX]; // of the Profile of each value, 0: there is none
};
struct otlp_body { // what it takes back when a sample does not fit
	uint32_t counts[OTLP_TABLES];
	uint32_t part_count;
	struct otlp_part part; // the last one
	uint64_t dictionary, parts; // bytes: exact; at most
	uint64_t samples;
};
