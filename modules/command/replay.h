// SPDX-License-Identifier: Apache-2.0
#pragma once
struct config;
struct profile;
// The whole recording at PATH as one profile, not yet sealed; the caller's. NULL after a line on stderr.
struct profile *replay_profile(const char *path, const struct config *config);
// Adds P to *RESULT (made on the first call): 0 or -ENOMEM.
int merge_window(struct profile **result, const struct profile *p);
