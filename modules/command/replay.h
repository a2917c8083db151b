// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "../path/path.h"
#include <stdbool.h>
struct config;
struct profile;

// Windows that become one profile of each type.
struct merged {
	struct profile *profiles[PATH_TYPE_COUNT]; // NULL: none of that type
	bool left_out; // a whole window found no memory: it is in the totals, as [lost:
		       // memory_limit]
};
// With empty ones of TYPES (1 << enum path_type); others come with their first window. 0 or
// -ENOMEM.
int merged_open(struct merged *m, uint32_t types);
void merged_free(struct merged *m);
// -ENOMEM: there is not even a profile to tell it in.
int merged_add(struct merged *m, enum path_type type, const struct profile *window);
bool merged_incomplete(
    const struct merged *m); // some samples are there as lost, for want of memory

// What the whole recording at PATH holds of the one type in TYPES (0: the first that it has) as one
// profile, not yet sealed; the caller's. NULL after a line on stderr. CONFIG's memory_limit is in
// force then.
struct profile *replay_profile(const char *path, const struct config *config, uint32_t types);
// Says on stderr what RESULT, as path_replay gives it, means for the recording that H has replayed.
struct hall;
void replay_say(const struct hall *h, int result);
