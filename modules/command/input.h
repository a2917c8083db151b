// SPDX-License-Identifier: Apache-2.0
// What a command reads: a profile of any profiler (pprof), or a recording of our own; by content,
// whatever the name.
#pragma once
#include "../export/export.h"
struct config;
struct profile;

// The profile in PATH ("-": standard input), sealed; the caller's. NULL after a line on stderr that
// names the file, what is wrong with it and the way out. It is held in CONFIG's memory_limit, which
// stays in force: *ERROR is -ENOMEM and no line is written where that is not enough. Waits for what
// comes through a pipe, but not for somebody to open its other end. TYPES: see replay_profile.
struct profile *input_profile(
    const char *path, const struct config *config, uint32_t types, int *error);
// How much memory it would take; -errno where that cannot be known (a pipe, a recording), -EFBIG
// where it is larger than a profile may be.
int input_need(const char *path, enum export_format format, bool based, struct export_need *need);
void input_say_large(const char *path);	  // that it is
const char *input_name(const char *path); // for messages
