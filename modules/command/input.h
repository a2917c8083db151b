// SPDX-License-Identifier: Apache-2.0
// What a command reads: a profile of any profiler (pprof), or a recording of our own; by content,
// whatever the name.
#pragma once
struct config;
struct profile;

// The profile in PATH ("-": standard input), sealed; the caller's. NULL after a line on stderr that
// names the file, what is wrong with it and the way out. It is held in CONFIG's memory_limit, which
// stays in force. Waits for what comes through a pipe, but not for somebody to open its other end.
struct profile *input_profile(const char *path, const struct config *config);
