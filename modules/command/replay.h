// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdbool.h>
struct config;
struct profile;

// Windows that become one profile.
struct merged {
	struct profile *profile;
	bool left_out; // a whole window found no memory: it is in the totals, as [lost:
		       // memory_limit]
};
// 0 or -ENOMEM.
int merged_open(struct merged *m);
void merged_add(struct merged *m, const struct profile *window);
bool merged_incomplete(
    const struct merged *m); // some samples are there as lost, for want of memory

// The whole recording at PATH as one profile, not yet sealed; the caller's. NULL after a line on
// stderr. CONFIG's memory_limit is in force then.
struct profile *replay_profile(const char *path, const struct config *config);
// Says on stderr what RESULT, as path_replay gives it, means for the recording that H has replayed.
struct hall;
void replay_say(const struct hall *h, int result);
