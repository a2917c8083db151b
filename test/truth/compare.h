// SPDX-License-Identifier: Apache-2.0
// Both unwinders at one stop: equal, or in what they differ, and why.
#pragma once
#include "ours.h"
#include "theirs.h"

#define REASONS 200
struct tally {
	uint64_t stops, equal, ours_longer, theirs_longer, different;
	uint64_t complete; // ours, of the stops
	uint64_t unexplained;
	uint64_t ends[WALK_END_COUNT]; // ours
	struct reason {
		char name[240]; // "" behind the last
		uint64_t count;
		char example[2048];
	} reasons[REASONS];
};

// Walks both, counts into TALLY. U and O know T's mappings. Where the stop is in a handler of a
// signal, INTERRUPTED is the stack as it was before (else NULL); KEEP (or NULL) receives this
// one's, or none where the two differ.
void compare(struct tally *tally, struct ours *o, struct theirs *u, struct target *t,
    const struct stack *interrupted, struct stack *keep);
// Prints the tally of SUBJECT; lines of detail begin with #. True when nothing is unexplained.
bool tally_print(const struct tally *tally, const char *subject);
