// SPDX-License-Identifier: Apache-2.0
// memory_limit for what a command does outside of the hall, which has a budget of its own.
#pragma once
#include <stdint.h>
struct config;

// From here on no more memory than CONFIG's memory_limit, or 3/4 of the cgroup's own limit.
void limit_hold(const struct config *config);
// Says on stderr that what is DONE ("reading it") to NAME takes more than the limit, and the way
// out; NEED: how many bytes do, 0: not known.
void limit_say(const struct config *config, const char *name, const char *done, uint64_t need);
