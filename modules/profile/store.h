// SPDX-License-Identifier: Apache-2.0
// What a profile is made of; private to this room.
//
//   sample {stack, subject, values} -> stack {at, count} -> stack_frames[at..] -> frame
//                                   -> subject -> label_set {at, count} -> labels[at..]
#pragma once
#include "profile.h"
#include "table.h"

struct run { // items side by side in a pool of chunks
	uint32_t at, count;
};

struct profile {
	enum account account;
	bool sealed;
	uint64_t seed; // of the hashes, so that a file cannot be made to collide
	struct profile_header header;
	struct names *names;
	uint32_t unnamed; // the name "[unnamed: memory]"
	struct table mappings, frames, stacks, subjects, label_sets, samples;
	struct chunks stack_frames, labels;
};

// Made by profile_new before anything else: nobody's subject, and the sample that takes what finds
// no memory.
#define SUBJECT_NOBODY 1
#define SAMPLE_LOST 1

// As profile_add, but without counting what went to the lost sample.
int store_add(struct profile *p, uint32_t stack, uint32_t subject, const int64_t *values);
